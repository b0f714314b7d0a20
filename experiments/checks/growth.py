"""Is everything linear? CPU time and memory of growing amounts, with the exponents that they grow by.

    python -m experiments.checks.growth    # ten minutes
    python -m experiments.checks.growth --only words --only units

The exponent is the slope of cost against amount, both in logarithms, fitted to the three largest amounts, where what a
call costs once weighs least; 1 is linear. Time is CPU time, of the least of several calls; memory is what a call takes
above what was there before it, in a process of its own.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer

from experiments.lib.growing import GROWING, Call
from experiments.lib.memory import keep_freed_memory, peak_of, peak_printed_by
from experiments.lib.stamp import stamp
from experiments.lib.tables import show

LIMIT: Final = 1.1
ENOUGH: Final = 1.5
"""Seconds after which no further call is timed."""


def main(
    only: Annotated[list[str] | None, typer.Option(help="What grows; default all. The other rows stay.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    peak: Annotated[str, typer.Option(hidden=True, help="NAME=SIZE: print the MB that this takes, and no more.")] = "",
) -> None:
    """Write growth.json and .md."""
    torch.set_num_threads(1)
    if peak:
        name, _, size = peak.rpartition("=")
        print(peak_of(GROWING[name].call(int(size))))
        return
    keep_freed_memory()
    path = (out / "growth").with_suffix(".json")
    before = json.loads(path.read_text())["rows"] if only and path.exists() else []
    found = {row["name"]: row for row in before}
    for name in only or GROWING:
        grows = GROWING[name]
        seconds = [least(grows.call(size)) for size in grows.sizes]
        memory = [
            peak_printed_by(["experiments.checks.growth", "--peak", f"{name}={size}"], f"{size} {name}")
            for size in grows.sizes
        ]
        row: dict[str, Any] = {"name": name, "what": grows.what, "sizes": grows.sizes, "seconds": seconds, "MB": memory}
        row |= {"time exponent": exponent(grows.sizes, seconds), "memory exponent": exponent(grows.sizes, memory)}
        found[name] = row
        print(row, flush=True)
    rows = [found[name] for name in GROWING if name in found]
    command = "python -m experiments.checks.growth"
    show(
        out / "growth",
        {**stamp(command, seed=0), "rows": rows},
        ("what grows", "of", "sizes", "CPU s", "MB", "time exponent", "memory exponent"),
        [
            [
                row["name"],
                row["what"],
                " · ".join(f"{size:,}" for size in row["sizes"]),
                " · ".join(f"{each:.2g}" for each in row["seconds"]),
                " · ".join(f"{max(each, 0):.0f}" for each in row["MB"]),
                f"{row['time exponent']:.2f}",
                f"{row['memory exponent']:.2f}",
            ]
            for row in rows
        ],
        [f"`{command}`"],
        [
            "",
            f"Exponents are fitted to the three largest amounts; the aim is that none is above {LIMIT}. The words of a "
            "caption are the exception: the gradient of a word passes all words before it, so L words take L²/2 steps "
            "of the decoder, which from some twenty words on outweigh the encoder.",
        ],
    )


def least(call: Call) -> float:
    """CPU seconds of the cheapest of up to five calls, after one that fills caches."""
    call()
    spent: list[float] = []
    while len(spent) < 5 and (not spent or sum(spent) < ENOUGH):
        gc.collect()
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return min(spent)


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """The slope in logarithms of the three largest; 0 where nothing is spent."""
    if min(costs[-3:]) <= 0:
        return 0.0
    slope, _ = np.polyfit(np.log(sizes[-3:]), np.log(costs[-3:]), 1)
    return float(slope)


if __name__ == "__main__":
    typer.run(main)
