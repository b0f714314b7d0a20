"""A job on a Ray cluster: actors hold the model, parts go to whoever is free, and what is written is the same.

Ray Data carries the names of the pictures to the actors and the written parts back, never pictures or maps, so its
object store stays small whatever the job's size. A part is named by its number and of the same pictures whoever makes
it: one that is made twice, since an actor died or a write was repeated, replaces itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmcam.errors import ExplainError
from mmcam.jobs import manifest, shards
from mmcam.jobs.items import Item, packed, unpacked
from mmcam.jobs.lock import locked
from mmcam.jobs.plan import Plan, Worker
from mmcam.jobs.rows import Row
from mmcam.jobs.run import Done, Tell, about, check_arrow, parts_left
from mmcam.jobs.sources import Source
from mmcam.jobs.store import Store

SPARE = 2
"""Logical CPUs that Ray Data needs besides those of the actors, to read what is left and to write what is made."""

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
    ray = _ray()
    store = Store(out)
    with locked(out):
        cpus = _cpus(ray, workers, gpus)
        worker = Worker.load(plan, source)
        manifest.begin(store, worker.of(source), about(plan, source))
        left = parts_left(store, source.items, plan.shard, tell)
        labels, lenient = worker.labels, worker.lenient
        del worker  # the actors have their own
        start = time.perf_counter()
        if left:
            _work(ray, store, left, (plan, source.root, lenient, labels), (workers, cpus, gpus))
        missing = parts_left(store, source.items, plan.shard, lambda text: None)
        if missing:
            raise ExplainError(f"{len(missing)} parts of {out} are missing; start the job again to make them.")
        seconds = time.perf_counter() - start
    pictures = sum(len(items) for _, items in left)
    rows, errors = (_count(store, folder, [part for part, _ in left]) for folder in (shards.RESULTS, shards.ERRORS))
    return Done(pictures, rows, errors, seconds)


class Actor:
    """Explains parts.

    Args:
        plan, root, lenient, labels: as of `Worker.begin`.
        threads: that open pictures beside it.
    """

    def __init__(self, plan: Plan, root: str, lenient: bool, labels: Sequence[str], threads: int) -> None:
        self._worker = Worker.begin(plan, root, lenient, labels)
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Parts with their pictures → parts with their files."""
        made: dict[str, list[Any]] = {"part": [], "results": [], "errors": []}
        for part, text in zip(batch["part"], batch["items"], strict=True):
            items = unpacked(str(text))
            results, errors = shards.packed(len(items), *self._explained(items))
            for name, value in (("part", int(part)), ("results", results), ("errors", errors)):
                made[name].append(value)
        return made

    def _explained(self, items: Sequence[Item]) -> tuple[list[Row], list[Row]]:
        opened: Iterator[Any] = self._pool.map(self._worker.decoder.__getitem__, items)
        rows, errors = list[Row](), list[Row]()
        for own in self._worker.batches(items):
            made, wrong = self._worker.explain(own, [next(opened) for _ in own])
            rows += made
            errors += wrong
        return rows, errors


def _ray() -> Any:
    """Ray, connected.

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
        size = {} if there else {"object_store_memory": STORE, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **size)
        except ValueError:  # a cluster was started by hand on this machine, whose size is its own
            ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError) as error:
            raise ExplainError(f"No Ray cluster answers ({error}); start one with `ray start --head`.") from error
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
    ray: Any, store: Store, left: Sequence[tuple[int, Sequence[Item]]], begun: tuple[Any, ...], size: tuple[Any, ...]
) -> None:
    """Make the parts, and write them.

    Args:
        ray: connected.
        store: of the job.
        left: the parts that are to be made.
        begun: what an actor begins with.
        size: how many actors, their CPUs and GPUs.
    """
    workers, cpus, gpus = size
    context = ray.data.DataContext.get_current()
    before = context.checkpoint_config, context.enable_progress_bars
    context.checkpoint_config = _checkpoints(store)
    context.enable_progress_bars = os.isatty(2)
    try:
        rows = [{"part": part, "items": packed(items)} for part, items in left]
        parts = ray.data.from_items(rows, override_num_blocks=len(rows))  # a block a part: it is what can be lost
        made = parts.map_batches(
            Actor, fn_constructor_args=(*begun, cpus), batch_size=1, num_cpus=cpus, num_gpus=gpus or None,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        )  # fmt: skip
        made.write_datasink(_sink(store))
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        context.checkpoint_config, context.enable_progress_bars = before


def _sink(store: Store) -> Any:
    """Where Ray Data's write tasks put the files of parts."""
    from ray.data.block import BlockAccessor
    from ray.data.datasource.datasink import Datasink

    class Parts(Datasink[None]):
        def write(self, blocks: Iterable[Any], ctx: Any) -> None:
            for block in blocks:
                for row in BlockAccessor.for_block(block).iter_rows(public_row_format=True):
                    shards.put(store, int(row["part"]), row["results"], row["errors"])

    return Parts()


def _checkpoints(store: Store) -> Any:
    return None


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


def _count(store: Store, folder: str, parts: Sequence[int]) -> int:
    """The rows of some parts of a table."""
    import pyarrow.parquet as pq

    there = set(store.names(folder))
    count = 0
    for part in parts:
        if shards.name(part) in there:
            filesystem, path = shards.located(store.path(f"{folder}/{shards.name(part)}"))
            count += pq.read_metadata(path, filesystem=filesystem).num_rows
    return count
