"""A job on a Ray cluster: actors hold the model, parts go to whoever is free, and what is written is the same.

Ray Data carries the names of the pictures to the actors and their counts back, never pictures or maps, so its object
store stays small whatever the job's size. An actor writes its parts itself. A part is named by its number and of the
same pictures whoever makes it: one that is made twice, since an actor died before it told of it, replaces itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmcam.errors import ExplainError
from mmcam.jobs import manifest, shards
from mmcam.jobs.items import Item, packed, unpacked
from mmcam.jobs.lock import locked
from mmcam.jobs.plan import Plan, Worker
from mmcam.jobs.rows import Row
from mmcam.jobs.run import Done, Tell, about, check_arrow, parts_left
from mmcam.jobs.sources import Source
from mmcam.jobs.store import Store, remote
from mmcam.progress import Meter

SPARE = 2
"""Logical CPUs that Ray Data gets besides those of the actors, for what it runs itself."""

STORE = 256 * 2**20
"""Bytes of the object store of a Ray that is started here."""


def run_on_ray(plan: Plan, source: Source, out: str, *, workers: int = 2, gpus: float = 0, tell: Tell = print) -> Done:
    """Do what is left of a job, on the Ray cluster that is there, or on one of this machine.

    Args:
        plan, source: as in `mmcam.jobs.run`. The pictures, the model and `out` have to be seen by every machine.
        out: a shared folder, or a URL of an object storage.
        workers: actors, which hold a model each.
        gpus: of each actor; may be a part of one.
        tell: is told what is of note.

    Raises:
        ExplainError: Ray is not installed; the cluster is too small; or as `mmcam.jobs.run`.
    """
    check_arrow()
    ray = _ray(workers)
    store = Store(out)
    with locked(out):
        cpus = _cpus(ray, workers, gpus)
        worker = Worker.load(replace(plan, device="cpu"), source)  # only to know it; the driver may have no GPU
        manifest.begin(store, worker.of(source), about(plan, source))
        left = parts_left(store, source.items, plan.shard, tell)
        begun = len(left) * plan.shard < len(source.items)
        begin = Begin(plan, source.root, worker.lenient, worker.labels, _absolute(out), begun)
        del worker  # the actors have their own
        start = time.perf_counter()
        made = _work(ray, left, begin, (workers, cpus, gpus)) if left else (0, 0)
        if missing := {part for part, _ in left} - shards.done(store):
            raise ExplainError(f"{len(missing)} parts of {out} are missing; start the job again to make them.")
    return Done(sum(len(items) for _, items in left), *made, time.perf_counter() - start)


@dataclass(frozen=True)
class Begin:
    """What an actor begins with.

    Attributes:
        plan, root, lenient, labels, begun: as of `Worker`.
        out: the folder or URL of the job.
    """

    plan: Plan
    root: str
    lenient: bool
    labels: Sequence[str]
    out: str
    begun: bool


class Actor:
    """Explains parts and writes them.

    Args:
        begin: with what.
        threads: that open pictures beside it.
    """

    def __init__(self, begin: Begin, threads: int) -> None:
        self._worker = Worker.begin(begin.plan, begin.root, begin.lenient, begin.labels)
        self._worker.begun = begin.begun
        self._store = Store(begin.out)
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Parts with their pictures → how many pictures, rows and errors they have, once they are written."""
        made: dict[str, list[int]] = {"pictures": [], "rows": [], "errors": []}
        for part, text in zip(batch["part"], batch["items"], strict=True):
            items = unpacked(str(text))
            rows, errors = self._explained(items)
            shards.put(self._store, int(part), *shards.packed(len(items), rows, errors))
            for name, each in (("pictures", items), ("rows", rows), ("errors", errors)):
                made[name].append(len(each))
        return made

    def _explained(self, items: Sequence[Item]) -> tuple[list[Row], list[Row]]:
        opened: Iterator[Any] = self._pool.map(self._worker.decoder.__getitem__, items)
        rows, errors = list[Row](), list[Row]()
        for own in self._worker.batches(items):
            made, wrong = self._worker.explain(own, [next(opened) for _ in own])
            rows += made
            errors += wrong
        return rows, errors


def _ray(workers: int) -> Any:
    """Ray, connected; one that is started here has as many logical CPUs as the actors need.

    Raises:
        ExplainError: it is not installed, or cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user asks for it
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ExplainError("--engine ray needs Ray; install it with pip install 'mmcam[cluster]'.") from error
    if not ray.is_initialized():
        there = bool(os.environ.get("RAY_ADDRESS"))
        cpus = max(os.cpu_count() or 1, workers + SPARE)
        size = {} if there else {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            try:
                ray.init(**quiet, **size)
            except ValueError:  # a cluster was started by hand on this machine, whose size is its own
                ray.init(address="auto", **quiet)
        except Exception as error:  # Ray raises bare ones, too
            reason = " ".join(str(error).split())[:200]
            raise ExplainError(f"No Ray cluster answers ({reason}); start one with `ray start --head`.") from error
    return ray


def _cpus(ray: Any, workers: int, gpus: float) -> int:
    """The logical CPUs of each actor: what the cluster has, less `SPARE`.

    Raises:
        ExplainError: there are too few, where Ray Data would wait for ever; or too few GPUs.
    """
    if workers < 1:
        raise ExplainError(f"A cluster needs at least one worker; --workers {workers} is none.")
    has = ray.cluster_resources()
    cpus, needed = int(has.get("CPU", 0)), workers + SPARE
    if cpus < needed:
        raise ExplainError(
            f"The Ray cluster has {cpus} logical CPUs, and {workers} workers need {needed} (one each, and {SPARE} to "
            f"read and write), else it waits for ever; start it with --num-cpus {needed}, or ask for fewer --workers."
        )
    if has.get("GPU", 0) < workers * gpus:
        raise ExplainError(
            f"The Ray cluster has {has.get('GPU', 0):g} GPUs, and {workers} workers of {gpus:g} need "
            f"{workers * gpus:g}; ask for fewer --workers or --gpus."
        )
    return (cpus - SPARE) // workers


def _work(
    ray: Any, left: Sequence[tuple[int, Sequence[Item]]], begin: Begin, size: tuple[int, int, float]
) -> tuple[int, int]:
    """Make the parts.

    Args:
        ray: connected.
        left: the parts that are to be made.
        begin: what an actor begins with.
        size: how many actors, their CPUs and GPUs.

    Returns:
        How many rows and errors were written.
    """
    workers, cpus, gpus = size
    context = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    rows = errors = 0
    try:
        texts = [{"part": part, "items": packed(items)} for part, items in left]
        parts = ray.data.from_items(texts, override_num_blocks=len(texts))  # a block a part: it is what can be lost
        made = parts.map_batches(
            Actor, fn_constructor_args=(begin, cpus), batch_size=1, num_cpus=cpus, num_gpus=gpus or None,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(texts))),
        )  # fmt: skip
        with Meter(sum(len(items) for _, items in left), "Explaining") as meter:
            for done in made.iter_rows():
                meter.advance(done["pictures"])
                rows, errors = rows + done["rows"], errors + done["errors"]
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        context.enable_progress_bars = bars
    return rows, errors


def _absolute(out: str) -> str:
    """A folder as every process finds it."""
    return out if remote(out) else str(Path(out).absolute())


def _cause(error: Exception) -> Exception:
    """What went wrong in an actor or a write: ours as it is, and another's in a sentence."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, (ExplainError, OSError)):
            return cause
        cause = inner
    reason = " ".join(str(error).split())[-300:]
    return ExplainError(f"The Ray cluster gave up ({reason}); what is written stays: start the job again.")
