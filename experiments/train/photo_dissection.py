"""What do the units of a model for photographs detect? The dissection that comes with it.

    python -m experiments.train.photo_dissection photo-classifier --root DATA

Two kinds of names: COCO's masks (182 photographs with exact places), tested against chance, and, for units that they do
not name, the ImageNet classes whose photographs drive the unit. A model that was trained anew has to be dissected anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import mmcam
import models
from experiments.lib.neurons.photographs import ClassPhotographs
from mmcam.datasets.concepts.coco import CocoConcepts
from mmcam.neurons.selectivity import activity, selectivity
from models.imagenet import imagenet_names


def main(
    name: str,
    root: Annotated[Path, typer.Option(help="Folder with coco, imagenet_val and imagenet_sample.")],
    layer: Annotated[str | None, typer.Option(help="Default the layer that is explained by default.")] = None,
    quantile: Annotated[float, typer.Option(help="Share of all places at which a unit is active.")] = 0.005,
    out: Annotated[Path, typer.Option(help="Folder of the two files.")] = models.DISSECTIONS,
) -> None:
    """Write OUT/NAME.json and .safetensors."""
    model = models.load(name)
    coco = CocoConcepts(root / "coco" / "instances.json", root / "coco" / "images")
    found = mmcam.dissect(model, coco, layer, quantile=quantile)
    names = imagenet_names()
    photographs = ClassPhotographs([root / "imagenet_val", root / "imagenet_sample"], names.classes, names.hypernyms)
    found = replace(found, selectivity=selectivity(activity(model, photographs, found.layer)))
    for file in found.save(out / name):
        print(f"{file}  {file.stat().st_size:,} bytes")
    known = found.known()
    for kind in ("places", "photographs"):
        units = [each for each in known.units.values() if each.seen_in == kind]
        plainly = sum(not each.doubtful(known.measure) for each in units)
        print(f"{found.layer}: {len(units)} of {found.units} units named by {kind}, {plainly} of them beyond chance")


if __name__ == "__main__":
    typer.run(main)
