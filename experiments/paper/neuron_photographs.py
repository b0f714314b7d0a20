"""Do names by masks tell the truth on photographs? Texts about COCO's photographs that took no part in the naming.

    python -m experiments.paper.neuron_photographs --root DATA

Each half of the photographs is explained with names from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import mmcam
import models
from experiments.lib.neurons.photo_texts import counted, rows, show_rows
from experiments.lib.neurons.photographs import Some
from mmcam import Names
from mmcam.datasets.concepts.coco import CocoConcepts


def main(
    root: Annotated[Path, typer.Option(help="Folder with coco.")],
    quantile: Annotated[float, typer.Option(help="Share of all places at which a unit is active.")] = 0.005,
    out: Path = Path("experiments/results"),
) -> None:
    """Write neuron-photographs (.json, .md)."""
    model = models.load("photo-classifier")
    coco = CocoConcepts(root / "coco" / "instances.json", root / "coco" / "images")
    counts: list[dict[str, Any]] = []
    parts: list[tuple[Sequence[int], Names]] = []
    for first, half in enumerate(("even", "odd")):
        chosen, rest = range(first, len(coco), 2), range(1 - first, len(coco), 2)
        found = mmcam.dissect(model, Some(coco, chosen, half), quantile=quantile)
        counts.append({"half": half, "photographs": len(chosen), "labels": "its own"} | counted(found.names()))
        parts.append((rest, found.names()))
    command = f"python -m experiments.paper.neuron_photographs --root DATA --quantile {quantile:g}"
    what = (
        f"Units of {found.layer} of photo-classifier, named by COCO's masks (quantile {quantile:g}, IoU above 0.04), "
        "and the text for the class that the model says of each photograph."
    )
    show_rows(out / "neuron-photographs", rows(model, coco, parts), counts, what, command, len(coco))


if __name__ == "__main__":
    typer.run(main)
