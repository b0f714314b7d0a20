"""Contestants timed in interleaved rounds, after their maps were checked to agree; peak memory in a fresh process."""

from __future__ import annotations

import json
import random
import resource
import statistics
import time
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional as F

from experiments.lib.contestants import Run, Setting
from experiments.lib.contests import tasks
from experiments.lib.memory import peak_of, peak_printed_by

ONLY_TIMED = ("passes alone", "the least")
"""Contestants that make no maps: what the maps could cost at least."""


@dataclass
class Cell:
    """One figure: how long a contestant took, in plain forwards of the same round, and its extra memory.

    Attributes:
        ratio, low, high: median and range over the rounds.
        ms: median time.
        mb: peak memory above what the loaded model and input take; None where it was not measured.
        run: which run of the benchmark measured it.
    """

    task: str
    name: str
    ratio: float
    low: float
    high: float
    ms: float
    mb: float | None = None
    run: str = ""


def check(task: str, runs: dict[str, Run]) -> None:
    """Raise unless every contestant's maps agree with the library's, each brought to the others' size and scale."""
    mine = runs["mmcam"]()
    if mine is None:  # it makes something else than maps
        return
    for name, run in runs.items():
        if name.startswith(("forward", "mmcam", *ONLY_TIMED)):
            continue
        theirs = run()
        assert theirs is not None
        theirs = theirs.to(mine.device)
        ours = mine
        if name == "pytorch-grad-cam":
            if "guided" in task:
                continue  # scaled map times unscaled gradient, with another handling of in-place ReLUs: timed only
            # It normalises each map to 0..1 and then resizes it.
            ours = mine - mine.amin((1, 2), keepdim=True)
            ours = ours / ours.amax((1, 2), keepdim=True).clamp(min=1e-30)
            ours = F.interpolate(ours[:, None], theirs.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
            ours = ours - ours.amin((1, 2), keepdim=True)
            ours = ours / ours.amax((1, 2), keepdim=True).clamp(min=1e-30)
        error = float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
        if not float(theirs.abs().max()) > 0:
            raise AssertionError(f"{task}: {name} gives empty maps, which agree with everything")
        if not error < 1e-2:
            raise AssertionError(f"{task}: {name} differs from mmcam by {error:.1e} of the maximum")


def timed(run: Run, setting: Setting) -> float:
    """Seconds of one run, the device's queue emptied before and after.

    Of one thread of a CPU they are those the processor spends on it and on its child processes: other processes do not
    lengthen them.
    """
    if setting.device == "cuda":
        torch.cuda.synchronize()
    alone = setting.device == "cpu" and setting.threads == 1
    clock = _spent if alone else time.perf_counter
    start = clock()
    run()
    if setting.device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(task: str, runs: dict[str, Run], setting: Setting) -> list[Cell]:
    """Interleaved rounds of all contestants; ratios within each round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    shuffle = random.Random(0)
    for name in order:
        runs[name]()  # the first run pays for imports, kernels and the search for a layer
    for _ in range(setting.rounds):
        shuffle.shuffle(order)
        for name in order:
            seconds[name].append(timed(runs[name], setting))
    cells = []
    for name, times in seconds.items():
        ratios = [t / f for t, f in zip(times, seconds["forward"], strict=True)]
        cells.append(
            Cell(task, name, statistics.median(ratios), min(ratios), max(ratios), 1000 * statistics.median(times))
        )
    return cells


def peak(task: str, name: str, setting: Setting) -> float:
    """Peak memory of one contestant above its loaded model and input, in MB, in this process: meant for a fresh one."""
    build = tasks(setting)[task]
    torch.set_num_threads(setting.threads)
    return peak_of(build()[name], setting.device)


def peak_apart(task: str, name: str, setting: Setting) -> float:
    """`peak` in a fresh process whose every tensor is given back to the system when it is freed."""
    asked = json.dumps([task, name, asdict(setting)])
    return peak_printed_by(["experiments.checks.benchmark", "--peak", asked], f"{task}, {name}")
