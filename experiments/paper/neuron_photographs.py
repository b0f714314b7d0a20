"""Do the names of units tell the truth on photographs? Texts about photographs that took no part in the naming.

    python -m experiments.paper.neuron_photographs --root DATA

Each half of the photographs is explained with names from the other half: COCO's by its masks, ImageNet's validation
photographs by their classes (imagenet_sample helps with the naming only). How many names would chance give? The same is
counted once with every photograph's labels dealt to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer

import mmcam
import models
from experiments.lib.neurons.photo_texts import rows
from experiments.lib.neurons.photographs import ClassPhotographs, Some
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts, with_error
from mmcam import Names
from mmcam.datasets.concepts import Labels
from mmcam.datasets.concepts.coco import CocoConcepts
from mmcam.neurons.names import UnitName
from mmcam.neurons.selectivity import Activity, activity, selectivity
from models.imagenet import imagenet_names

QUANTILES: Final = (0.005, 0.02)
HALVES: Final = ("even", "odd")


class Dealt(Some):
    """The pictures of a part, each with the labels of another."""

    def labels(self, index: int) -> Sequence[Labels]:
        """Of the picture that follows half the data later."""
        return super().labels((index + len(self) // 2) % len(self))


def main(
    root: Annotated[Path, typer.Option(help="Folder with coco, imagenet_val and imagenet_sample.")],
    photographs: Annotated[int, typer.Option(help="Of ImageNet to explain.")] = 200,
    out: Path = Path("experiments/results"),
) -> None:
    """Write neuron-photographs (.json, .md)."""
    model = models.load("photo-classifier")
    layer = mmcam.explain_class(model, _coco(root).picture(0)).layer
    counts: list[dict[str, Any]] = []
    table = _by_masks(model, layer, root, counts) + _by_classes(model, layer, root, photographs, counts)
    command = f"python -m experiments.paper.neuron_photographs --root DATA --photographs {photographs}"
    told = [
        [row["data"], row["names"], row["told"], str(row["texts"]), str(row["naming"])]
        + [with_error(row[key], 100, sign="+" if key == "gain" else "") for key in ("true", "chance", "gain")]
        for row in table
    ]
    named = [
        [row["data"], row["names"], row["labels"], str(row["photographs"]), f"{row['named']} of {row['units']}",
         str(row["plainly"])]
        for row in counts
    ]  # fmt: skip
    above = [
        f"Units of {layer} of photo-classifier, and the text for the class it says of each photograph (5 units either "
        "side). Each half of the photographs is explained with names from the other. Mean over the texts that name "
        "something ± standard error. Chance: the names dealt out anew among the units that are told so. An IoU counts "
        "above 0.04, a class above a selectivity of 0.5; plainly: p ≤ 0.05 of 199 shuffles.",
        "",
        f"    {command}",
    ]
    parts = [
        Part("What texts name for the class", ["photographs", "names", "told", "texts", "name something so",
             "of the names are in the picture %", "by chance %", "gain"], told),
        Part("Units with a name, with the photographs' labels and with those of others",
             ["photographs", "names", "labels", "number", "units with a name", "told plainly"], named),
    ]  # fmt: skip
    report = {**stamp(command, pictures=182 + photographs, seed=0, libraries=("timm",)), "rows": table, "units": counts}
    show_parts(out / "neuron-photographs", report, parts, above)


def _coco(root: Path) -> CocoConcepts:
    return CocoConcepts(root / "coco" / "instances.json", root / "coco" / "images")


def _by_masks(model: Any, layer: str, root: Path, counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of COCO's photographs; what was named is added to `counts`."""
    coco = _coco(root)
    parts: list[tuple[Sequence[int], dict[str, Names]]] = []
    for first, half in enumerate(HALVES):
        chosen, rest = range(first, len(coco), 2), range(1 - first, len(coco), 2)
        kinds = {}
        for quantile in QUANTILES:
            kind = f"masks, quantile {quantile:g}"
            found = mmcam.dissect(model, Some(coco, chosen, half), layer, quantile=quantile)
            chance = mmcam.dissect(model, Dealt(coco, chosen, f"{half}, dealt"), layer, quantile=quantile)
            kinds[kind] = found.names()
            about = {"data": f"COCO, {half}", "names": kind, "photographs": len(chosen), "units": found.units}
            counts += [about | _counted("their own", found.names()), about | _counted("others'", chance.names())]
        parts.append((rest, kinds))
    return [{"data": "COCO"} | row for row in rows(model, coco, parts)]


def _by_classes(
    model: Any, layer: str, root: Path, photographs: int, counts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of ImageNet's photographs; what was named is added to `counts`."""
    names = imagenet_names()
    data = ClassPhotographs([root / "imagenet_val", root / "imagenet_sample"], names.classes, names.hypernyms)
    validation = sum(path.parent.parent.name == "imagenet_val" for path, _ in data.rows)
    seen = activity(model, data, layer)
    parts: list[tuple[Sequence[int], dict[str, Names]]] = []
    for first, half in enumerate(HALVES):
        chosen = [index for index in range(len(data)) if index >= validation or index % 2 == first]
        rest = [index for index in range(validation) if index % 2 != first]
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0)).tolist()
        own, others = (
            _names(replace(seen, means=seen.means[chosen], member=seen.member[[chosen[i] for i in of]]))
            for of in (range(len(chosen)), order)
        )
        about = {"data": f"ImageNet, {half}", "names": "classes", "photographs": len(chosen), "units": own.count}
        counts += [about | _counted("their own", own), about | _counted("others'", others)]
        step = max(1, 2 * len(rest) // photographs)
        parts.append((rest[::step][: photographs // 2], {"classes": own}))
    return [{"data": "ImageNet"} | row for row in rows(model, data, parts)]


def _names(seen: Activity) -> Names:
    return Names(selectivity(seen).names(), seen.means.shape[1], "selectivity", fingerprint=seen.fingerprint)


def _counted(labels: str, names: Names) -> dict[str, Any]:
    units: list[UnitName] = list(names.units.values())
    return {"labels": labels, "named": len(units), "plainly": sum(not unit.doubtful(names.measure) for unit in units)}


if __name__ == "__main__":
    typer.run(main)
