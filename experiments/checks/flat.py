"""Thousands of mixed explanations in one process: do memory, hooks, threads, descriptors or tensors grow?

    python -m experiments.checks.flat                 # 10,000, on one thread
    python -m experiments.checks.flat --number 500

A small classifier by every method that takes one, bundled models' captions and answers in between, and every seventh
question a wrong one, which ends in an error. The first tenth warms caches up and is not counted. Memory is the resident
set after a garbage collection, twenty times on the way; its slope is that of a straight line through the second half.
The exit code is 1 where hooks, threads or descriptors are left, or memory grows by more than 2 KiB an explanation.
"""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.progress import track
from torch import nn

import mmcam
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.datasets.photographs import shipped

CHEAP: Final[dict[str, dict[str, Any]]] = {
    "rise": {"n": 4},
    "smoothgrad": {"n": 2},
    "smooth_gradcam++": {"n": 2},
    "integrated_gradients": {"steps": 2},
    "occlusion": {"patch": 16, "stride": 16},
    "extremal": {"steps": 2},
}
"""Options that make a method cheap: it is asked a thousand times."""

ALLOWED: Final = 2048.0
"""Bytes an explanation."""


def main(
    number: Annotated[int, typer.Option(min=100, help="Explanations.")] = 10_000,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write flat.json and .md."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    net, questions = network(), mixed()
    next(questions)(net)
    for _ in range(number // 10):
        next(questions)(net)
    before, marks, begun = counts(net), [], time.process_time()
    for done in track(range(number), "explaining"):
        next(questions)(net)
        if (done + 1) % (number // 20) == 0:
            marks.append((done + 1, counts(net)["memory, MB"]))
    seconds, after = time.process_time() - begun, counts(net)
    late = marks[len(marks) // 2 :]
    slope = float(np.polyfit([at for at, _ in late], [memory * 1e6 for _, memory in late], 1)[0])
    rows: list[dict[str, Any]] = [{"what": what, "before": before[what], "after": after[what]} for what in before]
    command = f"python -m experiments.checks.flat --number {number}"
    show(
        out / "flat",
        {**stamp(command), "rows": rows, "number": number, "seconds": seconds, "slope": slope, "memory": marks},
        ("what", "before", "after"),
        [[row["what"], f"{row['before']:g}", f"{row['after']:g}"] for row in rows],
        [f"`{command}`"],
        ["", f"{number:,} explanations in {seconds:.0f} CPU s; the second half grew by {slope:.0f} bytes each."],
    )
    left = [row["what"] for row in rows[1:-1] if row["after"] > row["before"]]
    raise typer.Exit(1 if left or slope > ALLOWED else 0)


def network() -> nn.Sequential:
    """A classifier of ten classes for 32×32 pixels."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval()


def mixed() -> Iterator[Any]:
    """What is asked, without end: functions of the classifier."""
    photograph = str(shipped().path)
    captioner = mmcam.models.load("vignette-captioner")
    answerer = mmcam.models.load("vignette-vqa")
    small = mmcam.Preprocess(size=(32, 32), mode="squash")
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    usable = [name for name in mmcam.METHODS if works(name, picture, small)]

    def classify(model: nn.Module, at: int) -> None:
        method = usable[at % len(usable)]
        options = CHEAP.get(method, {})
        exp = mmcam.explain_class(model, picture, at % 10, layer="2", method=method, preprocess=small, **options)
        exp.peak(), exp.heatmap

    def refuse(model: nn.Module, at: int) -> None:
        try:
            mmcam.explain_class(model, picture, 99, method=usable[at % len(usable)], layer="2", preprocess=small)
        except mmcam.ExplainError:
            return
        raise RuntimeError("A class that is not there was explained.")

    at = 0
    while True:
        at += 1
        if at % 200 == 100:
            yield lambda model: mmcam.explain_caption(captioner, photograph)
        elif at % 200 == 0:
            yield lambda model: mmcam.explain_answer(answerer, photograph, "what is on the grass")
        elif at % 7 == 0:
            yield lambda model, at=at: refuse(model, at)
        else:
            yield lambda model, at=at: classify(model, at)


def works(method: str, picture: Any, preprocess: mmcam.Preprocess) -> bool:
    """Whether a method explains the classifier, as one of transformers' attention does not."""
    try:
        mmcam.explain_class(
            network(), picture, 0, layer="2", method=method, preprocess=preprocess, **CHEAP.get(method, {})
        )
    except mmcam.ExplainError:
        return False
    return True


def counts(net: nn.Module) -> dict[str, float]:
    """What must not grow, by name; the memory first, tensors, which caches may hold, last."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "memory, MB": resident,
        "hooks": sum(len(getattr(module, kind)) for module in net.modules() for kind in kinds),
        "threads": threading.active_count(),
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "tensors": sum(type(each) is torch.Tensor for each in gc.get_objects()),
    }


if __name__ == "__main__":
    typer.run(main)
