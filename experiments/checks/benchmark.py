"""What an explanation costs, beside the plain forward pass of its model and beside other libraries.

One interleaved run: every round times every contestant once, in a new order, so that a slow minute of the machine hits
all alike; the figures are ratios to that round's plain forward without gradients. Before anything is timed, the maps
are checked to agree. Peak memory is measured in a fresh process for each contestant.

    python -m experiments.checks.benchmark            # one core takes about an hour; writes experiments/results/
    python -m experiments.checks.benchmark --quick    # small pictures, few rounds: does everything still run?
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

from experiments.lib.contestants import Setting
from experiments.lib.contests import tasks
from experiments.lib.rounds import Cell, check, measure, peak, peak_apart
from experiments.lib.stamp import stamp
from experiments.lib.tables import show

LIBRARIES: Final = ("torchcam", "captum", "grad-cam")
TARGETS: Final = {
    "resnet50 B16": 1.10,
    "vgg16 B16": 1.10,
    "resnet50 5 classes": 1.20,
    "resnet50+LSTM 16 words": 2.00,
    "resnet50 B16 guided": 1.15,
    "vgg16 B16 guided": 1.15,
}
"""Where the library means to be: at most so many plain forwards; for five classes, so many times one class; guided, so
many times a forward and a backward pass to the pixels."""
COLUMNS: Final = ("task", "contestant", "ms", "× forward", "min–max", "extra peak MB", "aim")


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small pictures and few rounds, to see that all runs.")
    ] = False,
    device: Annotated[Literal["cpu", "cuda"] | None, typer.Option(help="Default CUDA where there is one.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    rounds: Annotated[int | None, typer.Option(min=1, help="Default 9; 3 if quick.")] = None,
    only: Annotated[str, typer.Option(help="Tasks whose name holds this text.")] = "",
    without: Annotated[list[str] | None, typer.Option(help="A contestant to leave out.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    peak_for: Annotated[str | None, typer.Option("--peak", hidden=True)] = None,
) -> None:
    """Run, and write benchmark-DEVICE.json and .md, or benchmark-quick."""
    warnings.simplefilter("ignore")
    if peak_for:
        task, name, fields = json.loads(peak_for)
        print(peak(task, name, Setting(**fields)))
        return
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    side, batch = (64, 4) if quick else (224, 16)
    setting = Setting(side, batch, rounds or (3 if quick else 9), threads, device)
    torch.set_num_threads(threads)
    cells: list[Cell] = []
    for task, build in tasks(setting).items():
        if only not in task:
            continue
        start = time.perf_counter()
        runs = {name: run for name, run in build().items() if name not in (without or ())}
        check(task, runs)
        timed = measure(task, runs, setting)
        del runs
        for cell in timed if memory else ():
            if not quick or cell.name.startswith(("forward", "mmcam")):
                cell.mb = peak_apart(task, cell.name, setting)
        cells += timed
        ratios = ", ".join(f"{cell.name} {cell.ratio:.2f}" for cell in timed)
        Console(width=150).print(f"{task}: {time.perf_counter() - start:.0f} s, {ratios}")
    command = " ".join(["python -m experiments.checks.benchmark", shlex.join(sys.argv[1:])]).strip()
    report = stamp(command, seed=0, device=device, libraries=LIBRARIES)
    report |= {"setting": asdict(setting), "rows": [asdict(cell) for cell in cells]}
    above = [
        f"`{command}`: {side}×{side} pictures.",
        "",
        f"Medians of {setting.rounds} interleaved rounds; every time is divided by the plain forward without gradients "
        "of the same round. Random weights; the maps were checked to agree first. Memory is the peak above the loaded "
        "model and its input, in a process of its own. Peers explain several classes or words by one call each; "
        "pytorch-grad-cam returns NumPy maps at the size of the picture.",
    ]
    show(out / f"benchmark-{'quick' if quick else device}", report, COLUMNS, table(cells), above)


def table(cells: list[Cell]) -> list[list[str]]:
    """Rows of the printed table, with what the library was meant to reach beside it."""
    rows = []
    least_memory = {cell.task: cell.mb for cell in cells if cell.name == "forward"}
    least_time = {c.task: c.ratio for c in cells if c.name in ("forward + backward to the pixels", "mmcam, one class")}
    for cell in cells:
        extra = "–" if cell.mb is None else f"{cell.mb:.0f}"
        if cell.mb and (least := least_memory.get(cell.task)) and cell.name != "forward":
            extra += f" ({cell.mb / least:.2f}×)"
        aim = ""
        if cell.name == "mmcam" and cell.task in TARGETS:
            reached = cell.ratio / least_time.get(cell.task, 1.0)
            of = "" if cell.task not in least_time else " × the least" if "guided" in cell.task else " × one class"
            aim = f"{reached:.2f}{of} (≤ {TARGETS[cell.task]:.2f})"
        spread = f"{cell.low:.2f}–{cell.high:.2f}"
        rows.append([cell.task, cell.name, f"{cell.ms:.0f}", f"{cell.ratio:.2f}", spread, extra, aim])
    return rows


if __name__ == "__main__":
    typer.run(main)
