"""What would a million and a hundred million pictures cost? The line through three measured sizes, drawn further.

    python -m experiments.checks.job_sizes && python -m experiments.checks.job_scale    # the second takes a second

Of CPU seconds and of bytes, what a picture adds and what a job costs at all are fitted by least squares, each size
weighted alike in proportion, and drawn on to sizes that nobody measured; the error is the standard error of the line,
which three points give with one degree of freedom, so it is itself rough. That the line stays one is an assumption: a
part needs the pictures of its own batches only, nothing is shuffled, sorted or joined, and memory did not grow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments.lib.stamp import stamp
from experiments.lib.tables import show

SIZES = (10**6, 10**8)
COLUMNS = ("pictures", "CPU hours of the job itself", "GB of tables", "parts of 256", "parts of 4,096")


def main(
    out: Annotated[Path, typer.Option(help="Folder of job-sizes.json, and for the table.")] = Path(
        "experiments/results"
    ),
) -> None:
    """Write job-scale.json and .md."""
    measured = json.loads((out / "job-sizes.json").read_text())["rows"]
    counts = [row["pictures"] for row in measured]
    cpu = line(counts, [row["cpu"] for row in measured])
    size = line(counts, [row["bytes"] for row in measured])
    rows: list[dict[str, Any]] = []
    for count in SIZES:
        hours, gigabytes = (at(fitted, count, unit) for fitted, unit in ((cpu, 3600), (size, 1e9)))
        rows.append({"pictures": count, "cpu_hours": hours, "gb": gigabytes})
    cells = []
    for row in rows:
        parts = [f"{-(-row['pictures'] // shard):,}" for shard in (256, 4096)]
        cells.append([f"{row['pictures']:,}", told(row["cpu_hours"]), told(row["gb"]), *parts])
    command = "python -m experiments.checks.job_scale"
    fits = {"cpu_ms": [1000 * each for each in cpu[1]], "bytes": list(size[1])}
    below = [
        "",
        f"A picture adds {fits['cpu_ms'][0]:.2f} ± {fits['cpu_ms'][1]:.2f} CPU ms and {fits['bytes'][0]:.0f} ± "
        f"{fits['bytes'][1]:.1f} bytes, beside {cpu[0]:.0f} CPU s that a job takes at all; what its network "
        "takes comes on top.",
    ]
    report = {**stamp(command, pictures=sum(counts)), "fits": fits, "rows": rows}
    show(out / "job-scale", report, COLUMNS, cells, [f"`{command}`"], below)


def line(counts: Sequence[float], values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Intercept, and slope with its standard error, of values ≈ a + b·counts, each residual in units of its value."""
    weights = 1 / np.asarray(values, float)
    design = np.stack([np.ones(len(counts)), np.asarray(counts, float)], 1) * weights[:, None]
    solution, _, _, _ = np.linalg.lstsq(design, np.ones(len(counts)), rcond=None)
    residuals = 1 - design @ solution
    variance = float(residuals @ residuals) / max(1, len(counts) - 2)
    error = sqrt(variance * float(np.linalg.inv(design.T @ design)[1, 1]))
    return float(solution[0]), (float(solution[1]), error)


def at(fitted: tuple[float, tuple[float, float]], count: int, unit: float) -> tuple[float, float]:
    """The line at a size, with its error, in a unit."""
    base, (slope, error) = fitted
    return (base + slope * count) / unit, error * count / unit


def told(value: tuple[float, float]) -> str:
    """With as many digits as the error allows."""
    number, error = value
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 1
    return f"{number:.{digits}f} ± {error:.{digits}f}"


if __name__ == "__main__":
    typer.run(main)
