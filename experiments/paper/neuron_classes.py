"""Do names by classes tell the truth? Texts about ImageNet's validation photographs that took no part in the naming.

    python -m experiments.paper.neuron_classes --root DATA

Each half of the photographs is explained with names from the other and from imagenet_sample. A name is true if the
photograph is of that class. How many names would chance give? The same is counted with the labels dealt out anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import mmcam
import models
from experiments.lib.neurons.photo_texts import counted, rows, show_rows
from experiments.lib.neurons.photographs import ClassPhotographs
from mmcam import Names
from mmcam.neurons.selectivity import Activity, activity, selectivity
from models.imagenet import imagenet_names


def main(
    root: Annotated[Path, typer.Option(help="Folder with imagenet_val and imagenet_sample.")],
    photographs: Annotated[int, typer.Option(help="To explain, evenly from the validation photographs.")] = 200,
    out: Path = Path("experiments/results"),
) -> None:
    """Write neuron-classes (.json, .md)."""
    model, names = models.load("photo-classifier"), imagenet_names()
    data = ClassPhotographs([root / "imagenet_val", root / "imagenet_sample"], names.classes, names.hypernyms)
    validation = sum(path.parent.parent.name == "imagenet_val" for path, _ in data.rows)
    layer = mmcam.explain_class(model, data.picture(0)).layer
    seen = activity(model, data, layer)
    counts: list[dict[str, Any]] = []
    parts: list[tuple[Sequence[int], Names]] = []
    for first, half in enumerate(("even", "odd")):
        chosen = [index for index in range(len(data)) if index >= validation or index % 2 == first]
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(1)).tolist()
        found, chance = (
            _named(replace(seen, means=seen.means[chosen], member=seen.member[[chosen[i] for i in of]]))
            for of in (range(len(chosen)), order)
        )
        for labels, each in (("its own", found), ("another's", chance)):
            counts.append({"half": half, "photographs": len(chosen), "labels": labels} | counted(each))
        rest = range(1 - first, validation, 2)
        parts.append((rest[:: max(1, len(rest) // (photographs // 2))][: photographs // 2], found))
    command = f"python -m experiments.paper.neuron_classes --root DATA --photographs {photographs}"
    what = (
        f"Units of {layer} of photo-classifier, named by the ImageNet class or wider word whose photographs drive them "
        "(selectivity above 0.5), and the text for the class that the model says of each photograph."
    )
    show_rows(out / "neuron-classes", rows(model, data, parts), counts, what, command, photographs)


def _named(seen: Activity) -> Names:
    return Names(selectivity(seen).names(), seen.means.shape[1], "selectivity", fingerprint=seen.fingerprint)


if __name__ == "__main__":
    typer.run(main)
