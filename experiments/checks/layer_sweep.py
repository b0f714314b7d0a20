"""Does the library find the right layer? Every classifier of torchvision and most families of timm, random weights.

For each architecture the default layer is found, the Grad-CAM of a class is made there, and six things are checked:

- the map is finite, and not one value everywhere (the map for the class or the one against it: a random network may
  have nothing that speaks for a class);
- it lies the right way round: one place of the picture is touched, a corner or one inside, and the activations, read as
  the map reads them, change most there. For tokens, the place is one cell and so is where it must show (or next to it):
  tokens read from the wrong one on wrap around the border, and are found out. Maps of convolutions can only be
  transposed or turned; for them the place is a third of each side, and it must show in the same quarter, because a deep
  random network spreads its pixels wide;
- the layer stands behind at least half of the modules, not at the stem;
- a network of convolutions alone is traced once, without gradients;
- the model is left as found: train flags, requires_grad, hooks, gradients, weights, and the random state;
- nothing is raised, unless there is no map to show and one sentence says so.

Weights are random. What their initialisation puts at or near zero (heads, last normalisations of residual branches,
layer scales) is drawn again, or no gradient would come through, and batch norms are fitted to a batch of noise.

Every result is kept in ``runs/layer-sweep/`` as soon as it is there, and a second run goes on where the first stopped.

    python -m experiments.checks.layer_sweep
"""

from __future__ import annotations

import gc
import json
import re
import resource
import signal
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.lib.architectures import chosen, random_network
from experiments.lib.layer_checks import Row, check, unchanged
from experiments.lib.stamp import stamp
from experiments.lib.tables import show


def judged(name: str, limit: int, known: Mapping[str, Any] | None = None) -> Row:
    """One network, built, checked and freed; what goes wrong is its verdict.

    Args:
        name: of the network.
        limit: seconds it may take.
        known: its row in an earlier table, whose verdict stands if the layer is the same and read alike.
    """
    begun = time.perf_counter()

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        model, size = random_network(name)
        same = None if known is None else unchanged(model, size, known)
        return same or check(name, model, size)
    except TimeoutError:
        return Row(name, verdict="too slow", note=f"more than {limit} s", seconds=time.perf_counter() - begun)
    except Exception as error:  # the verdict of one network must not end the others
        note = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Row(name, verdict="error", note=note, seconds=time.perf_counter() - begun)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        gc.collect()


def main(
    count: Annotated[int, typer.Option(help="Networks of timm, at least one of each module and first word.")] = 250,
    limit: Annotated[int, typer.Option(help="Seconds a network may take.")] = 300,
    memory: Annotated[int, typer.Option(help="GiB a network may take.")] = 24,
    only: Annotated[str, typer.Option(help="Only names that match this expression; no table is written.")] = "",
    retry: Annotated[bool, typer.Option(help="Check again what was not right.")] = False,
    keep: Annotated[
        bool,
        typer.Option(help="A verdict of the table stands where layer and map are the same; only cells are looked at."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    runs: Annotated[Path, typer.Option(help="Folder for what is kept between runs.")] = Path("runs/layer-sweep"),
) -> None:
    """Write layer-sweep.json and .md."""
    warnings.filterwarnings("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    names = [name for name in chosen(runs, count) if re.search(only, name)]
    path = runs / "rows.jsonl"
    rows = {row["model"]: row for row in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    table = json.loads((out / "layer-sweep.json").read_text())["rows"] if keep else []
    before = {row["model"]: row for row in table if row["verdict"] == "right"}
    with path.open("a") as file:
        for name in names:
            if name in rows and not (retry and rows[name]["verdict"] != "right") and not only:
                continue
            row = asdict(judged(name, limit, before.get(name)))
            rows[name] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(
                f"{row['verdict']:8} {name:50} {row['layer']:36} {row['form']} {row['map']} {row['note']}", flush=True
            )
    if not only:
        command = f"python -m experiments.checks.layer_sweep --count {count}" + (" --keep" if keep else "")
        report([rows[name] for name in names], out, command)


def report(rows: list[dict[str, Any]], out: Path, command: str) -> None:
    """The table and the counts below it."""
    verdicts = Counter((row["model"].partition(":")[0], row["verdict"]) for row in rows)
    below = [""]
    for library in ("torchvision", "timm"):
        parts = [f"{n} {verdict}" for (own, verdict), n in sorted(verdicts.items()) if own == library]
        below.append(f"- {library}: {sum(n for (own, _), n in verdicts.items() if own == library)}: {', '.join(parts)}")
    below.append(f"- found by one forward without gradients: {sum(row['passes'] == 1 for row in rows)}")
    below.append(
        "- A map (N,K,h,w) is read as it is: where its change shows elsewhere, random gates or attention over the "
        "whole picture have moved it, not the reading."
    )
    for line in below[1:]:
        Console().print(line)
    head = ("model", "layer found", "form", "map K×h×w", "cells", "proof (bits)", "verdict", "note")
    cells = [
        [
            row["model"],
            row["layer"],
            row["form"],
            "×".join(map(str, row["map"])),
            row["cells"],
            "" if row["proof"] is None else f"{row['proof']:.0f}",
            row["verdict"],
            row["note"],
        ]
        for row in sorted(rows, key=lambda row: (row["model"].startswith("timm"), row["model"]))
    ]
    table = {**stamp(command, seed=0, libraries=("timm",)), "rows": rows}
    show(out / "layer-sweep", table, head, cells, [f"`{command}`; see the script for the checks."], below)


if __name__ == "__main__":
    typer.run(main)
