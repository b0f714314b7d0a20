"""Every method on every task, where the truth is known: do the maps fall on what they are about, and what do they cost?

For test vignettes, one target each: a kind of thing in the picture (classifier), an object word of the generated
caption (captioner), a rightly answered question about things (VQA); and pictures with several things of one kind, whose
class is explained. Per method: pointing accuracy without tolerance, relevance mass and rank on the thing's mask, the
share of several things that the map shows, time in plain forwards of the same model and picture, and peak memory.

    python -m experiments.checks.method_table                 # about an hour on two cores; goes on where it was stopped
    python -m experiments.checks.method_table --pictures 5 --methods gradcam --methods c_mwp --out /tmp/try
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.progress import track

import mmcam
from experiments.lib.memory import peak_of, peak_printed_by
from experiments.lib.records import add, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import keep, show, with_error
from experiments.lib.targets import TASKS, Target, questions
from mmcam.evaluation import bootstrap, mean, pointing, relevance

OPTIONS: Final[dict[str, dict[str, Any]]] = {"rise": {"n": 500}, "extremal": {"steps": 200}}
"""What differs from a method's defaults."""

LEGEND: Final = (
    "Pointing: the maximum lies on the thing, without tolerance. Mass: share of the positive relevance on it. Rank: "
    "share of the K most relevant pixels on it, K its size. Things found (several of one kind in a picture): share of "
    "which a fifth is among the K most relevant pixels. Forwards: time in plain passes of the encoder; MB: peak above "
    "the loaded model. Times and memory are of one class of one picture. ±: standard error over the pictures, of which "
    "each has one target; forwards: the median with a 95% interval from resampling the pictures; MB: measured once, "
    "in a process of its own."
)
FIGURES: Final = ("pointing", "mass", "rank", "found")


def main(
    pictures: int = 100,
    split: str = "test",
    methods: Annotated[list[str] | None, typer.Option(help="Default all.")] = None,
    tasks: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(TASKS)}; default all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/method_table"),
    memory: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure, and write methods-SPLIT.json and .md."""
    if memory is not None:
        explain, _, _ = next(questions("class", split, 1))
        print(peak_of(lambda: explain(method=memory, **OPTIONS.get(memory, {}))))
        return
    rows = []
    for task in tasks or TASKS:
        pictures_of = cache(lambda task=task: list(questions(task, split, pictures)))
        for method in [*(methods or [name for name in mmcam.METHODS if name not in inapplicable(task)]), *BASELINES]:
            records = examine(task, method, pictures, pictures_of, work / f"{split}-{task}-{method}.jsonl")
            row = {"task": task, "method": method, **figures(records)}
            if task == "class" and method not in BASELINES:
                row["mb"] = memory_of(method, work / f"memory-{method}.json")
            rows.append(row)
    command = f"python -m experiments.checks.method_table --pictures {pictures} --split {split}"
    report = {**stamp(command, pictures=pictures, seed=0), "options": OPTIONS, "rows": rows}
    table(report, out / f"methods-{split}")


def inapplicable(task: str) -> set[str]:
    """Methods that the three models do not fit: fc7 is more than a global average, and there is no attention.

    The score of a word or answer is no sum of its parts, as FullGrad's has to be.
    """
    return {"attention", "cam", "legrad", "grad_eclip"} | ({"fullgrad"} if task != "class" else set())


def examine(
    task: str, method: str, pictures: int, asked: Callable[[], list[Target]], path: Path
) -> list[dict[str, Any]]:
    """A method's records on the first pictures of a task, a line each; those that are missing are added."""
    options = OPTIONS.get(method, {})
    done = {record["picture"]: record for record in read(path) if record["options"] == options}
    missing = [n for n in range(pictures) if n not in done]
    if missing and method not in BASELINES:
        asked()[0][0](method=method, **options)  # the first run also finds the layer
    for n in track(missing, f"{task}, {method}", transient=True):
        if n >= len(asked()):
            break  # there are no more pictures with such a target
        explain, masks, forward = asked()[n]
        record: dict[str, Any] = {"picture": n, "options": options}
        if method in BASELINES:
            heatmap, peak = BASELINES[method](masks, n)
        else:
            begun = time.perf_counter()
            forward()
            between = time.perf_counter()
            exp = explain(method=method, **options)
            record["forwards"] = (time.perf_counter() - between) / (between - begun)
            # The maximum of the map as it is: `Explanation.peak` smooths maps of pixels.
            heatmap, peak = exp.heatmap, pointing.peak(exp.heatmap)
        done[n] = record | judged(heatmap, peak, masks)
        add(path, [done[n]])
    return [done[n] for n in range(pictures) if n in done]


def judged(heatmap: np.ndarray, peak: tuple[int, int] | None, masks: np.ndarray) -> dict[str, float]:
    """The figures of one map."""
    thing = whole(masks)
    return {
        "pointing": float(pointing.inside(peak, thing)),
        "mass": relevance.mass(heatmap, thing),
        "rank": relevance.rank(heatmap, thing),
        "found": relevance.found(heatmap, masks),
    }


def figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Their means, each with its standard error, and the median time."""
    row: dict[str, Any] = {"n": len(records)}
    row |= {key: vars(mean([record[key] for record in records])) for key in FIGURES}
    ratios = [record["forwards"] for record in records if "forwards" in record]
    return row | ({"forwards": vars(bootstrap(ratios, statistics.median))} if ratios else {})


def memory_of(method: str, path: Path) -> float:
    """Peak memory of a method, measured or read."""
    if not path.exists():
        keep(path, json.dumps(peak_apart(method)))
    return float(json.loads(path.read_text()))


def whole(masks: np.ndarray) -> np.ndarray:
    """The pixels of any of several things."""
    return np.asarray(masks.any(axis=0))


def middle(masks: np.ndarray, n: int) -> tuple[np.ndarray, tuple[int, int] | None]:
    """A map that is highest in the middle of the picture."""
    y, x = np.indices(masks.shape[1:]).astype(np.float32)
    centre = pointing.centre(masks[0])
    far = np.hypot(x - centre[0], y - centre[1])
    return far.max() - far, centre


def noise(masks: np.ndarray, n: int) -> tuple[np.ndarray, tuple[int, int] | None]:
    """A map of noise, of its own for every picture."""
    drawn = np.random.default_rng(n).random(masks.shape[1:])
    return drawn, pointing.peak(drawn)


BASELINES: Final = {"(centre)": middle, "(random)": noise}
"""Maps that look at nothing, from masks and the number of the picture."""


def peak_apart(method: str) -> float:
    """Peak memory of one class explanation, in a fresh process."""
    return peak_printed_by(["experiments.checks.method_table", "--memory", method], method)


def table(report: dict[str, Any], path: Path) -> None:
    """Print the table, and write it as JSON and Markdown."""
    head = ("task", "method", "n", "pointing %", "mass %", "rank %", "things found %", "forwards", "MB")
    options = "; ".join(f"{name} with {given}" for name, given in report["options"].items())
    cells = []
    for row in report["rows"]:
        shares = [with_error(row[key], 100) for key in FIGURES]
        if row["task"] != "several":
            shares[-1] = ""
        costs = ["", f"{row['mb']:.0f}" if "mb" in row else ""]
        if row["task"] == "class" and "forwards" in row:
            costs[0] = with_error(row["forwards"])
        cells.append([row["task"], row["method"], str(row["n"]), *shares, *costs])
    show(path, report, head, cells, [f"`{report['command']}`: defaults, but {options}.", "", LEGEND])


if __name__ == "__main__":
    typer.run(main)
