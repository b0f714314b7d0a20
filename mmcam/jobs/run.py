"""A job on one machine: pictures are opened in processes, explained here, and written a part at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from mmcam.errors import ExplainError
from mmcam.jobs import manifest, shards
from mmcam.jobs.decode import Opened, opened
from mmcam.jobs.items import Item
from mmcam.jobs.lock import locked
from mmcam.jobs.plan import Plan, Worker
from mmcam.jobs.rows import Row
from mmcam.jobs.sources import Source
from mmcam.jobs.store import Store
from mmcam.progress import Meter

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Done:
    """What came of a run.

    Attributes:
        pictures: that were explained in it, with those that could not be.
        rows, errors: that were written.
        seconds: it took, loading apart.
    """

    pictures: int
    rows: int
    errors: int
    seconds: float


def run(plan: Plan, source: Source, out: str, *, workers: int = 0, tell: Tell = print) -> Done:
    """Do what is left of a job.

    Args:
        plan: what is asked, and how.
        source: the pictures.
        out: the folder or URL of the job: begun if it is not there, gone on with if it is.
        workers: processes that open pictures; 0 opens them between the batches. They start this program's main module
            anew, so a script needs its ``if __name__ == "__main__":``.
        tell: is told what is of note.

    Raises:
        ExplainError: the folder is another job's, or another process works on it; what is asked is wrong.
        OSError: what is made cannot be written; what was written before stays, and the job can go on.
    """
    check_arrow()
    store = Store(out)
    with locked(out):
        return go_on(Worker.load(plan, source), source, store, workers, tell)


def go_on(worker: Worker, source: Source, store: Store, workers: int = 0, tell: Tell = print) -> Done:
    """The same with a model that is loaded, in a folder that nobody else works on."""
    plan = worker.plan
    manifest.begin(store, worker.of(source), about(plan, source))
    left = parts_left(store, source.items, plan.shard, tell)
    worker.begun = len(left) * plan.shard < len(source.items)
    done = _work(worker, store, left, workers)
    tell_of_labels(worker, tell)
    return done


def check_arrow() -> None:
    """Raise ExplainError where the package that writes the tables is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ExplainError("Jobs need pyarrow; install it with pip install 'mmcam[jobs]'.") from error


def about(plan: Plan, source: Source) -> dict[str, object]:
    """What the manifest tells a reader besides: where the pictures are, and what computed first."""
    return {"images": source.spec, "root": source.root, "device": plan.device, "threads": torch.get_num_threads()}


def parts_left(store: Store, items: Sequence[Item], shard: int, tell: Tell) -> list[tuple[int, Sequence[Item]]]:
    """The parts that are still to be made, each with its pictures."""
    there = shards.done(store)
    parts = [(n, items[n * shard : (n + 1) * shard]) for n in range(-(-len(items) // shard))]
    left = [(n, own) for n, own in parts if n not in there]
    pictures = sum(len(own) for _, own in left)
    if len(left) < len(parts):
        tell(f"{len(items) - pictures:,} of {len(items):,} pictures are done already, {pictures:,} are left.")
    return left


def tell_of_labels(worker: Worker, tell: Tell) -> None:
    """Say which labels of the data set the model does not know."""
    if worker.passed_over:
        listed = ", ".join(worker.passed_over[:5]) + (" …" if len(worker.passed_over) > 5 else "")
        tell(f"{len(worker.passed_over)} of the {len(worker.labels)} classes are none of the model's ({listed}).")


def _work(worker: Worker, store: Store, left: Sequence[tuple[int, Sequence[Item]]], workers: int) -> Done:
    start, total = time.perf_counter(), sum(len(items) for _, items in left)
    all_rows = all_errors = 0
    batches = (batch for _, items in left for batch in worker.batches(items))
    with opened(worker.decoder, batches, workers if left else 0) as pictures, Meter(total, "Explaining") as meter:
        for part, items in left:
            rows, errors = _part(worker, items, pictures, meter)
            shards.put(store, part, *shards.packed(len(items), rows, errors))
            all_rows, all_errors = all_rows + len(rows), all_errors + len(errors)
    return Done(total, all_rows, all_errors, time.perf_counter() - start)


def _part(
    worker: Worker, items: Sequence[Item], pictures: Iterator[Opened], meter: Meter
) -> tuple[list[Row], list[Row]]:
    """The rows and errors of a part."""
    rows, errors = list[Row](), list[Row]()
    for batch in worker.batches(items):
        made, wrong = worker.explain(batch, next(pictures).each())
        rows += made
        errors += wrong
        meter.advance(len(batch))
    return rows, errors
