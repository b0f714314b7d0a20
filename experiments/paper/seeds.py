"""How good are maps as seeds of a weakly supervised segmentation? (Grad-CAM, section 4.2; SEC, arXiv 1603.06098.)

A segmentation network learnt from image labels alone starts from seeds: places that are surely of a class. Seeds are
made here as SEC makes them, on a grid of 41×41, from the map of every class that is in the picture: where it is above
20 % of its maximum; where two classes claim a cell, the one with fewer cells gets it. Background is the tenth of the
cells with the weakest gradient at an earlier layer (the largest magnitude over channels, median-filtered 3×3). The
paper trains SEC on them (`experiments.paper.segmentation`); here the seeds themselves are held against exact masks.

    python -m experiments.paper.seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib import colormaps
from PIL import Image
from rich.progress import track

import models
from experiments.lib.records import add, checksum, read
from experiments.lib.sec_seeds import BASELINES, METHODS, counted, kinds_of, seeds_by, truth
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.diagnosis.segmentation.seeds import NOTHING
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation.uncertainty import bootstrap

RESAMPLES, SEED = 500, 0


def main(
    pictures: Annotated[int, typer.Option(min=2)] = 300,
    out: Annotated[Path, typer.Option(help="Folder for table and picture.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/seeds"),
) -> None:
    """Write seeds (.json, .md, .webp)."""
    model = models.load("vignette-classifier")
    path = work / f"test-{checksum(model)}.jsonl"
    records = {record["picture"]: record for record in read(path)}
    for i in track(range(pictures), "vignettes"):
        if i not in records:
            records[i] = {"picture": i, "counts": counted(model, vignettes.draw(vignettes.seed("test", i)), i)}
            add(path, [records[i]])
    own = [records[i] for i in range(pictures)]
    rows: list[dict[str, Any]] = [
        {"method": method, "pictures": pictures, **figures(method, own)} for method in (*METHODS, *BASELINES)
    ]
    command = f"python -m experiments.paper.seeds --pictures {pictures}"
    table(rows, stamp(command, pictures=pictures, seed=SEED), out / "seeds")
    keep_sheet(out / "seeds.webp", drawn(model, 4))


def table(rows: Sequence[dict[str, Any]], stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table, the published figures in it."""
    head = (
        "seeds of",
        "n",
        "mIoU of things %",
        "right, of seeded cells of things %",
        "of background %",
        "of things found %",
    )
    keys = ("miou", "precision", "background", "recall")
    cells = [
        [row["method"], str(row["pictures"]), *(with_error(row[key], 100, bounds=0) for key in keys)] for row in rows
    ]
    cells.append(["published: CAM, after SEC's training on VOC12", "", "44.6", "", "", ""])
    cells.append(["published: Grad-CAM (VGG-16), the same", "", "49.6", "", "", ""])
    below = [
        "",
        f"vignette-classifier, the kinds that are in each of the first {stamped['pictures']} test vignettes. mIoU over "
        "the kinds, cells without a seed counting as not found. In brackets 95 % intervals, "
        f"{RESAMPLES} resamplings of the pictures, seed {SEED}. The published figures are of segmentations that a "
        "network learnt from such seeds, so they do not compare with these.",
        "",
        "![Seeds beside the truth](seeds.webp)",
    ]
    show(path, {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def figures(method: str, records: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The four figures over pictures, with their intervals."""
    own = [record["counts"][method] for record in records]

    def ratio(drawn: Sequence[list[list[int]]], thing: bool, of: int) -> float:
        kept = [count for picture in drawn for count in picture if bool(count[0]) == thing]
        return sum(count[1] for count in kept) / max(1, sum(count[of] for count in kept))

    def miou(drawn: Sequence[list[list[int]]]) -> float:
        sums: dict[int, np.ndarray] = {}
        for picture in drawn:
            for label, *rest in picture[1:]:
                sums[label] = sums.get(label, np.zeros(3)) + rest
        return float(np.mean([both / (seeded + true - both) for both, seeded, true in sums.values() if true]))

    return {
        name: vars(bootstrap(own, figure, resamples=RESAMPLES, seed=SEED))
        for name, figure in (
            ("miou", miou),
            ("precision", lambda drawn: ratio(drawn, True, 2)),
            ("background", lambda drawn: ratio(drawn, False, 2)),
            ("recall", lambda drawn: ratio(drawn, True, 3)),
        )
    }


def drawn(model: Any, rows: int) -> Image.Image:
    """Pictures, their truth, and the seeds of three methods; grey has no seed, white is background."""
    methods = ("gradcam", "layercam", "guided_gradcam")
    panels: list[tuple[Image.Image, str]] = []
    for i in range(rows):
        scene = vignettes.draw(vignettes.seed("test", i))
        labels = kinds_of(model, scene)
        panels += [(scene.image, ""), (coloured(truth(model, scene), labels), "truth")]
        seeded = seeds_by(model, scene, labels, methods, i)
        panels += [(coloured(seeded[method], labels), method) for method in methods]
    return draw_strip(panels, [""] * len(panels), columns=2 + len(methods))


def coloured(seeds: np.ndarray, labels: Sequence[int]) -> Image.Image:
    """Labels as colours, one a class of the picture."""
    pixels = np.full((*seeds.shape, 3), 255, np.uint8)
    pixels[seeds == NOTHING] = 190
    for n, label in enumerate(labels):
        pixels[seeds == label + 1] = np.array(colormaps["tab10"](n % 10)[:3]) * 255
    return Image.fromarray(pixels).resize((224, 224), Image.Resampling.NEAREST)


if __name__ == "__main__":
    typer.run(main)
