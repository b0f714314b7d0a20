"""What does a command cost besides what it has to do? CPU seconds of whole processes.

    python -m experiments.checks.start_up    # two minutes, on a machine that does nothing else

`mmcam --help` stands beside the bare interpreter. `mmcam explain` stands beside an interpreter that imports torch and
torchvision, and beside what the model costs: its weights are loaded and one picture goes through it. What is left is
mmcam: its own imports (timm's, too, where the model is timm's), the picture, the map, the files.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import track

from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.datasets.photographs import shipped

IMPORTS: Final = "import torch, torchvision"
MODEL: Final = """
import time, torch, torchvision, timm.layers, timm.models
from mmcam.models import load
from mmcam.preparation import batch_of
begun = time.process_time()
model = load({name!r})
x = batch_of(model, [{picture!r}], None).x
with torch.no_grad():
    {forward}
print(time.process_time() - begun)
"""
EXPLAINED: Final = {
    "photo-classifier": ([], "model(x)"),
    "vignette-classifier": ([], "model(x)"),
    "photo-captioner": (["--caption"], "model.generate(x)"),
    "photo-vqa": (["--question", "what colour is the dog"], "model.see(x)"),
}
"""What is asked of each model, and what it has to do for it."""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Processes of each kind, one after the other.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write start-up.json and .md."""
    picture = str(shipped().path)
    spent: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        spent.setdefault(name, []).append(seconds)

    with tempfile.TemporaryDirectory() as folder:
        for number in track(range(rounds), "starting"):
            note("bare", cpu(["-c", "pass"])[0])
            note("imports", cpu(["-c", IMPORTS])[0])
            note("help", cpu(["-m", "mmcam", "--help"])[0])
            for name, (options, forward) in EXPLAINED.items():
                code = MODEL.format(name=name, picture=picture, forward=forward)
                note(f"{name} model", float(cpu(["-c", code])[1]))
                where = ["--model", name, "--out", f"{folder}/{number}"]
                note(f"{name} explain", cpu(["-m", "mmcam", "explain", picture, *options, *where])[0])
    middle = {name: statistics.median(each) for name, each in spent.items()}
    rows: list[dict[str, Any]] = [
        {"command": "mmcam --help", "in all": middle["help"], "beside": middle["bare"], "model": 0.0},
        *(
            {
                "command": " ".join(["mmcam explain photo.png --model", name, *options]),
                "in all": middle[f"{name} explain"],
                "beside": middle["imports"],
                "model": middle[f"{name} model"],
            }
            for name, (options, _) in EXPLAINED.items()
        ),
    ]
    for row in rows:
        row["left"] = row["in all"] - row["beside"] - row["model"]
    command = f"python -m experiments.checks.start_up --rounds {rounds}"
    show(
        out / "start-up",
        {**stamp(command, libraries=("timm",)), "rows": rows, "seconds": spent},
        ("command", "CPU s in all", "interpreter, torch, torchvision", "weights and forward", "left for mmcam"),
        [[row["command"], *(f"{row[key]:.2f}" for key in ("in all", "beside", "model", "left"))] for row in rows],
        [f"`{command}`"],
        ["", f"Medians of {rounds} processes of each kind, user and system time; for help, of the bare interpreter."],
    )


def cpu(arguments: Sequence[str]) -> tuple[float, str]:
    """CPU seconds of a Python process, user and system, and what it printed last."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)[:200]} ended with exit code {process.returncode}.")
    return used.ru_utime + used.ru_stime, (said.split() or [""])[-1]


if __name__ == "__main__":
    typer.run(main)
