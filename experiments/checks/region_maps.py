"""Do maps of a region lie where the region is, and not on other things?

A network is trained to segment vignettes in about a minute (`experiments.lib.small_segmenter`). Of scenes it has not
seen, each thing that it finds (most of the thing's pixels get its class) is asked about in three ways: by its mask, by
a click on its middle, and, to compare, by the whole picture as the region, which says of the class what explaining an
ordinary classifier would. Energy is the share of the positive map that lies on the thing, pointing whether the maximum
does; on other things, the share that lies on the rest of the things of the scene.

    python -m experiments.checks.region_maps
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

import mmcam
from experiments.lib.small_segmenter import CLASSES, SmallSegmenter, overlaps, trained, truth_of
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.datasets.vignettes import Vignette
from mmcam.evaluation import mean
from mmcam.evaluation.pointing import inside

METHODS = ("gradcam", "hirescam", "layercam")
LEAST = 400
"""Pixels of a thing that is asked about."""


def asked_about(model: SmallSegmenter, scene: Vignette) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """The things that the network finds, each its kind and mask."""
    found = []
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        if mask.sum() >= LEAST and mmcam.explain_region(model, scene.image, mask).target == thing.kind:
            found.append((thing.kind, mask))
    return found


def middle(mask: np.ndarray[Any, Any]) -> tuple[int, int]:
    """(x, y) of the pixel of a mask that is nearest to its centre of mass."""
    rows, columns = np.nonzero(mask)
    nearest = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
    return int(columns[nearest]), int(rows[nearest])


def measured(exp: mmcam.Explanation, mask: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> dict[str, float]:
    """Energy on the thing and on others, and whether the maximum lies on it; an empty map has none."""
    heat = exp.heatmap.clip(0)
    whole = float(heat.sum()) or 1.0
    return {
        "energy": float(heat[mask].sum()) / whole,
        "others": float(heat[others].sum()) / whole,
        "pointing": float(inside(exp.peak(), mask)),
    }


def main(
    pictures: Annotated[int, typer.Option(help="Scenes that are explained.")] = 60,
    scenes: Annotated[int, typer.Option(help="Scenes of the training.")] = 600,
    epochs: Annotated[int, typer.Option(help="Of the training.")] = 12,
    out: Path = Path("experiments/results"),
) -> None:
    """Train, explain, and write region-maps.json and .md."""
    model = trained(scenes, epochs)
    drawn = [vignettes.draw(vignettes.seed("test", i)) for i in range(pictures)]
    by_class = overlaps(model, drawn)
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    for scene in track(drawn, "Explaining"):
        things = truth_of(scene) > 0
        everything = np.ones(things.shape, bool)
        for kind, mask in asked_about(model, scene):
            for method in METHODS:
                regions = {"mask": mask, "click": middle(mask), "whole picture": everything}
                for name, region in regions.items():
                    exp = mmcam.explain_region(model, scene.image, region, kind, method=method)
                    figures.setdefault((name, method), []).append(measured(exp, mask, things & ~mask))
    rows = [
        {"region": region, "method": method, "things": len(each)}
        | {figure: vars(mean([one[figure] for one in each])) for figure in ("energy", "others", "pointing")}
        for (region, method), each in figures.items()
    ]
    command = f"python -m experiments.checks.region_maps --pictures {pictures} --scenes {scenes} --epochs {epochs}"
    found = float(np.mean([value for name, value in by_class.items() if name != "nothing"]))
    told = f"the network's IoU: {100 * found:.1f} % over {len(by_class) - 1} of {len(CLASSES) - 1} kinds"
    report = {**stamp(command, pictures=pictures, seed=0), "iou": by_class, "rows": rows}
    cells = [
        [
            str(row["region"]),
            str(row["method"]),
            *(with_error(row[figure], 100) for figure in ("energy", "others", "pointing")),
        ]
        for row in rows
    ]
    head = ("region", "method", "energy on the thing, %", "on other things, %", "pointing, %")
    show(out / "region-maps", report, head, cells, [f"`{command}`; {rows[0]['things'] if rows else 0} things; {told}"])


if __name__ == "__main__":
    typer.run(main)
