"""The table of the benchmark: rows of several runs together, what was to be reached, what became slower."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from experiments.lib.rounds import Cell
from experiments.lib.stamp import line_of

Report = dict[str, Any]

COLUMNS: Final = ("task", "contestant", "ms", "× forward", "min–max", "extra peak MB", "aim", "run")
PIXELS: Final = "forward + backward to the pixels"
AIMS: Final = {
    ("resnet50 B16", "mmcam"): (1.10, "forward"),
    ("vgg16 B16", "mmcam"): (1.10, "forward"),
    ("mobilenet_v2 B16", "mmcam"): (1.10, "forward"),
    ("mobilenet_v2 B64", "mmcam"): (1.10, "forward"),
    ("lite0 B16", "mmcam"): (1.10, "forward"),
    ("resnet50 5 classes", "mmcam"): (1.20, "mmcam, one class"),
    ("mobilenet_v2 5 classes", "mmcam"): (1.20, "mmcam, one class"),
    ("resnet50+LSTM 16 words", "mmcam"): (2.00, "forward"),
    ("resnet50+LSTM a caption", "mmcam"): (1.15, "the least"),
    ("resnet50+LSTM a caption", "mmcam, a further word"): (0.10, "forward"),
    ("resnet50 B16 guided", "mmcam"): (1.15, PIXELS),
    ("vgg16 B16 guided", "mmcam"): (1.15, PIXELS),
    ("lite0 SmoothGrad", "mmcam"): (1.15, "passes alone"),
    ("squeezenet1_0 occlusion", "mmcam"): (1.05, "passes alone"),
    ("squeezenet1_0 occlusion", "mmcam, 16 classes"): (1.05, "mmcam"),
    ("lite0 occlusion", "mmcam"): (1.05, "passes alone"),
    ("lite0 RISE", "mmcam"): (1.05, "passes alone"),
}
"""At most so many times another contestant of the same rounds."""
REASONS: Final = {
    (
        "resnet50+LSTM a caption",
        "mmcam",
    ): "sixteen words and the caption as a whole are seventeen rows of the LSTM, whose "
    "exact gradients are as many times the arithmetic of one row's; “the least, each word” is the same by hand",
}
"""Why an aim is missed, where it was measured."""
SLOWER: Final = 1.5
"""Times a recorded ratio above which something has become slower."""


def merged(before: Report | None, cells: Sequence[Cell], stamp: Report, order: Iterable[str]) -> Report:
    """A report with the rows of a run in place of those of its tasks, the others as they were.

    Args:
        before: the report there is, None where there is none.
        cells: of the run.
        stamp: of the run, with its setting.
        order: of the tasks.
    """
    runs: dict[str, Report] = dict(before["runs"]) if before else {}
    name = next(letter for letter in map(str, range(1, 10**6)) if letter not in runs)
    done = {cell.task for cell in cells}
    rows = [row for row in (before["rows"] if before else []) if row["task"] not in done]
    rows += [asdict(cell) | {"run": name} for cell in cells]
    place = {task: number for number, task in enumerate(order)}
    rows.sort(key=lambda row: place.get(row["task"], len(place)))  # stable, so contestants stay in order
    runs = {**runs, name: stamp}
    return stamp | {"runs": {key: runs[key] for key in runs if any(row["run"] == key for row in rows)}, "rows": rows}


def read(path: Path) -> Report | None:
    """The report that is there."""
    return json.loads(path.read_text()) if path.exists() else None


def printed(
    rows: Sequence[Mapping[str, Any]], aims: Mapping[tuple[str, str], tuple[float, str]] = AIMS
) -> list[list[str]]:
    """Rows of the printed table, with what was to be reached beside it."""
    cells = {(row["task"], row["name"]): row for row in rows}
    found = []
    for (task, name), row in cells.items():
        first = cells.get((task, "forward"), row)
        extra = "–" if row["mb"] is None else f"{row['mb']:.0f}"
        if row["mb"] and first["mb"] and name != "forward":
            extra += f" ({row['mb'] / first['mb']:.2f}×)"
        aim = ""
        limit, other = aims.get((task, name), (0.0, ""))
        if (task, other) in cells:
            reached = row["ratio"] / cells[task, other]["ratio"]
            aim = f"{reached:.2f}" + (f" × {other}" if other != "forward" else "") + f" (≤ {limit:.2f})"
            aim += " missed" if round(reached, 2) > limit else ""
        spread = f"{row['low']:.2f}–{row['high']:.2f}"
        found.append([task, name, f"{row['ms']:.0f}", f"{row['ratio']:.2f}", spread, extra, aim, row["run"]])
    return found


def missed(table: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row of the printed table that misses its aim, with the reason."""
    found = [(row[0], row[1]) for row in table if row[6].endswith("missed")]
    return [f"* Missed, {task}, {name}: {REASONS.get((task, name), 'no reason is known')}." for task, name in found]


def told(runs: Mapping[str, Report]) -> list[str]:
    """A line for each run: its command and what it was measured with."""
    lines = []
    for name, run in runs.items():
        setting = run["setting"]
        note = f" {run['beside']}" if run.get("beside") else ""
        lines.append(
            f"* Run {name}: `{run['command']}`: {setting['side']}×{setting['side']} pictures, medians of "
            f"{setting['rounds']} rounds. {line_of(run)}{note}"
        )
    return lines


def slower(recorded: Report, cells: Sequence[Cell]) -> list[str]:
    """A sentence for each row of mmcam that takes more than `SLOWER` times what was recorded."""
    known = {(row["task"], row["name"]): row["ratio"] for row in recorded["rows"]}
    found = []
    for cell in cells:
        before = known.get((cell.task, cell.name))
        if cell.name.startswith("mmcam") and before is not None and cell.ratio > SLOWER * before:
            found.append(f"{cell.task}, {cell.name}: {cell.ratio:.2f} forwards, and {before:.2f} were recorded")
    return found
