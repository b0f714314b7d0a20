"""Which classes of AutoModelForImageTextToText are explained, and how: a table of all of them.

Of each a tiny random model and its real processor are built from nothing. Its score is compared with the model's own
forward on what its processor makes; the language model is made blind but for one of the picture's vectors, and the
map has to point at the block of the picture that then decides, which is found by painting; and a word's map made in one
pass with all words is compared with the one made alone.

    python -m experiments.checks.vlm_families [--only qwen3_vl,gemma3]
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import torch
import typer

from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts
from experiments.lib.vlm.build import build
from experiments.lib.vlm.examine import examine
from experiments.lib.vlm.families import OWN, RECIPES, WORK
from mmcam.errors import ExplainError, PictureError
from mmcam.files import write_whole

HEAD = ("family", "works by", "layer", "cells", "score difference", "planted patch", "one-pass difference")


def main(
    only: Annotated[str, typer.Option(help="Families, by model type; the others stay as they are in the table.")] = "",
    out: Annotated[Path, typer.Option(help="Where the table is written, without an ending.")] = Path(
        "experiments/results/vlm_families"
    ),
) -> None:
    """Make the table."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MODELS

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    before = Path(f"{out}.json")
    report = stamp("python -m experiments.checks.vlm_families", seed=1, libraries=("transformers",))
    rows: dict[str, Any] = _kept(before) if only and before.is_file() else {}
    rows |= {kind: {"why": "not tried"} for kind in MODELS if kind not in rows}
    wanted = only.split(",") if only else [*MODELS]
    for kind in wanted:
        rows[kind] = _row(kind)
        print(kind, rows[kind], flush=True)
        text = json.dumps({**report, "rows": _listed(rows)}, indent=1)
        write_whole(before, partial(_written, text))  # what is measured stays, whatever comes next
    rows = {kind: rows[kind] for kind in MODELS if kind in rows}
    works = [kind for kind, row in rows.items() if "works_by" in row]
    parts = [
        Part(f"{len(works)} that work", HEAD, [_cells(kind, MODELS[kind], rows[kind]) for kind in works]),
        Part(
            "The others",
            ("family", "class", "why not"),
            [[kind, MODELS[kind], rows[kind]["why"]] for kind in rows if kind not in works],
        ),
    ]
    above = ["# Vision-language models of transformers", "", (__doc__ or "").partition("\n    python")[0].strip(), ""]
    below = [
        "",
        "“next”: what the block that changes the score second most changes, as a share of the first. Random weights "
        "show that scores, gradients and places are right, not what trained models look at. A family not tried "
        "may work: `mmcam.wrap` takes it, and the guard then tells.",
    ]
    show_parts(out, {**report, "rows": _listed(rows)}, parts, above, below)


def _written(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())


def _kept(path: Path) -> dict[str, Any]:
    """The rows of a table that was made before, by family."""
    return {row["family"]: row for row in json.loads(path.read_text())["rows"]}


def _listed(rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"family": kind, **row} for kind, row in rows.items()]


def _row(kind: str) -> dict[str, Any]:
    """One family's row."""
    if kind in OWN:
        return {"works_by": "its own adapter", "where": OWN[kind]}
    if kind not in WORK:
        try:
            examine(*build(kind, RECIPES[kind]), RECIPES[kind].size) if kind in RECIPES else None
        except (ExplainError, PictureError) as error:
            fails = "itself fails on" in str(error)
            return {"why": f"{'not tried: the small model built here does not run' if fails else 'refused'}: {error}"}
        except Exception as error:  # whatever the family wants that is not given here
            return {"why": f"not tried: no small model was built ({type(error).__name__})"}
        return {"why": "not tried: no small model was built"}
    return asdict(examine(*build(kind, RECIPES[kind]), RECIPES[kind].size))


def _cells(kind: str, name: str, row: dict[str, Any]) -> list[str]:
    if "where" in row:
        return [f"{kind} ({name})", row["works_by"], row["where"], "", "", "", ""]
    planted = {True: f"found; next {row['decides']:.0%}", False: "missed", None: "–"}[row["planted"]]
    numbers = [f"{row['score']:.0e}", planted, f"{row['one_pass']:.0e}"]
    return [f"{kind} ({name})", row["works_by"], row["layer"], row["cells"], *numbers]


if __name__ == "__main__":
    typer.run(main)
