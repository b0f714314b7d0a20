"""What an explanation costs, beside the plain forward pass of its model and beside other libraries.

One interleaved run: every round times every contestant once, in a new order, so that a slow minute of the machine hits
all alike, and of one thread the processor's own seconds count; the figures are ratios to that round's plain forward
without gradients. Before anything is timed, the maps are checked to agree. Peak memory is measured in a fresh process
for each contestant.

    python -m experiments.checks.benchmark                        # two hours on one slow core; writes the table
    python -m experiments.checks.benchmark --only occlusion       # these rows; the others stay as they are
    python -m experiments.checks.benchmark --quick                # has anything become slower? a minute; writes nothing
    python -m experiments.checks.benchmark --quick --record       # what --quick compares with
"""

from __future__ import annotations

import json
import shlex
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal

import torch
import typer
from rich.console import Console

from experiments.lib.benchmark_table import AIMS, COLUMNS, SLOWER, Report, merged, missed, printed, read, slower, told
from experiments.lib.contestants import Setting
from experiments.lib.contests import QUICK, tasks
from experiments.lib.rounds import Cell, check, measure, peak, peak_apart
from experiments.lib.stamp import stamp
from experiments.lib.tables import keep, show

LIBRARIES: Final = ("torchcam", "captum", "grad-cam", "timm", "transformers")
TIMES: Final = 3
"""How often a task is timed at most before a quick run says that it has become slower: machines hiccup."""
SMALL: Final = 96
"""Side of the pictures of a quick run."""


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small pictures, mmcam alone: is anything slower?")] = False,
    record: Annotated[bool, typer.Option("--record", help="With --quick: keep the figures to compare with.")] = False,
    device: Annotated[Literal["cpu", "cuda"] | None, typer.Option(help="Default CUDA where there is one.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    rounds: Annotated[int | None, typer.Option(min=1, help="Default 9; 5 if quick.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Tasks whose name holds this text.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A contestant to leave out.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, too.")] = True,
    beside: Annotated[str, typer.Option(help="A sentence about what ran beside it, for the table.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    peak_for: Annotated[str | None, typer.Option("--peak", hidden=True)] = None,
) -> None:
    """Run, and write benchmark-DEVICE.json and .md; if quick, compare with benchmark-quick.json."""
    warnings.simplefilter("ignore")
    if peak_for:
        task, name, fields = json.loads(peak_for)
        print(peak(task, name, Setting(**fields)))
        return
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    setting = Setting(SMALL if quick else 224, 16, rounds or (5 if quick else 9), threads, device)
    torch.set_num_threads(threads)
    chosen = [task for task in tasks(setting) if _asked(task, only) and (not quick or task in QUICK)]
    path = out / f"benchmark-{'quick' if quick else device}"
    recorded = read(path.with_suffix(".json"))
    if quick and not record:
        if recorded is None:
            raise typer.BadParameter(f"{path}.json is missing; write it with --quick --record.")
        _compare(recorded, chosen, setting)
        return
    measured: list[Cell] = []
    for task in chosen:
        cells = timed(task, setting, without or (), quick)
        for cell in cells if memory and not quick and task != "start-up" else ():
            cell.mb = peak_apart(task, cell.name, setting)
        measured += cells
        # After each task, so that a run that is stopped has something to show.
        report = merged(recorded, measured, _stamp(device, setting, beside), tasks(setting))
        keep(path.with_suffix(".json"), json.dumps(report, indent=1))
    if measured:
        _write(path, report, quick)


def timed(task: str, setting: Setting, without: tuple[str, ...] | list[str], quick: bool) -> list[Cell]:
    """The times of a task, its maps checked; of a quick run of mmcam's and the forward alone."""
    start = time.perf_counter()
    runs = {name: run for name, run in tasks(setting)[task]().items() if name not in without}
    if quick:
        runs = {name: run for name, run in runs.items() if name == "forward" or name.startswith("mmcam")}
    check(task, runs)
    cells = measure(task, runs, setting)
    ratios = ", ".join(f"{cell.name} {cell.ratio:.2f}" for cell in cells)
    Console(width=150).print(f"{task}: {time.perf_counter() - start:.0f} s, {ratios}")
    return cells


def _compare(recorded: Report, chosen: list[str], setting: Setting) -> None:
    """Leave with an error where something has become slower, however often it is timed."""
    found: list[str] = []
    for task in chosen:
        for _ in range(TIMES):
            late = slower(recorded, timed(task, setting, (), quick=True))
            if not late:
                break
        found += late
    for sentence in found:
        typer.echo(f"More than {SLOWER} times slower than recorded: {sentence}", err=True)
    if found:
        raise typer.Exit(1)


def _asked(task: str, only: list[str] | None) -> bool:
    return not only or any(text in task for text in only)


def _stamp(device: str, setting: Setting, beside: str) -> Report:
    """Of this run."""
    arguments = [text for text in sys.argv[1:] if text != "--beside" and text != beside]
    command = " ".join(["python -m experiments.checks.benchmark", shlex.join(arguments)]).strip()
    report = stamp(command, seed=0, device=device, libraries=LIBRARIES)
    return report | {"setting": asdict(setting), "beside": beside}


def _write(path: Path, report: Report, quick: bool) -> None:
    above = [
        "# What an explanation costs",
        "",
        "Medians of interleaved rounds; every time is divided by the plain forward without gradients of the same "
        "round; of one thread the times are the processor's own. Random weights; the maps were checked to agree first. "
        "Memory is the peak above the loaded model and its input, in a process of its own. Peers explain several "
        "classes or words by one call each; pytorch-grad-cam returns NumPy maps at the size of the picture. “Passes "
        "alone”, “the least” and the like make no maps: they are what the maps could cost. For start-up “forward” is a "
        "process that imports torch and torchvision, and mmcam one that imports it, too.",
    ]
    rows = printed(report["rows"], {} if quick else AIMS)
    show(path, report, COLUMNS, rows, above, ["", *missed(rows), *told(report["runs"])])


if __name__ == "__main__":
    typer.run(main)
