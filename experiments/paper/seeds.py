"""How good are maps as seeds of a weakly supervised segmentation? (Grad-CAM, section 4.2; SEC, arXiv 1603.06098.)

A segmentation network learnt from image labels alone starts from seeds: places that are surely of a class. Seeds are
made here as SEC makes them, on a grid of 41×41, from the map of every class that is in the picture: where it is above
20 % of its maximum; where two classes claim a cell, the one with fewer cells gets it. Background is the tenth of the
cells with the weakest gradient at an earlier layer (the largest magnitude over channels, median-filtered 3×3). The
paper trains SEC on them; what is measured here is the seeds themselves, against the exact masks of vignettes.

    python -m experiments.paper.seeds
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from matplotlib import colormaps
from PIL import Image
from rich.progress import track
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

import mmcam
import models
from experiments.lib.modified_game import interval
from experiments.lib.records import add, checksum, read
from experiments.lib.tables import show
from mmcam.datasets import vignettes
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation.uncertainty import bootstrap
from mmcam.files import write_whole

METHODS: Final = ("gradcam", "gradcam++", "layercam", "hirescam", "c_mwp", "guided_gradcam", "gradient")
BASELINES: Final = ("(centre)", "(random)")
GRID: Final = 41
FOREGROUND: Final = 0.2
BACKGROUND: Final = 0.1
EARLIER: Final = "encoder.features.13"
"""A layer of 28×28, an eighth of the picture's side as conv4_1 of VGG-16 is."""
NOTHING: Final = -1
RESAMPLES, SEED = 500, 0


def main(
    pictures: Annotated[int, typer.Option(min=2)] = 300,
    out: Annotated[Path, typer.Option(help="Folder for table and picture.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/seeds"),
) -> None:
    """Write seeds (.json, .csv, .md, .tex, .png)."""
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
    head = (
        "seeds of",
        "n",
        "mIoU of things %",
        "right, of seeded cells of things %",
        "of background %",
        "of things found %",
    )
    keys = ("miou", "precision", "background", "recall")
    cells = [[row["method"], str(pictures), *(interval(row[key]) for key in keys)] for row in rows]
    cells.append(["published: CAM, after SEC's training on VOC12", "", "44.6", "", "", ""])
    cells.append(["published: Grad-CAM (VGG-16), the same", "", "49.6", "", "", ""])
    below = [
        "",
        f"vignette-classifier, the kinds that are in each of the first {pictures} test vignettes. mIoU over the kinds, "
        "cells without a seed counting as not found. In brackets 95 % intervals, "
        f"{RESAMPLES} resamplings of the pictures, seed {SEED}. The published figures are of segmentations that a "
        "network learnt from such seeds, so they do not compare with these.",
        "",
        "![Seeds beside the truth](seeds.png)",
    ]
    show(out / "seeds", {"command": command, "rows": rows}, head, cells, [f"`{command}`"], below)
    sheet = drawn(model, 4)
    write_whole(out / "seeds.png", lambda file: sheet.save(file, "PNG"))


def counted(model: Any, scene: vignettes.Vignette, i: int) -> dict[str, list[list[int]]]:
    """For every method and label, 0 the background: [label, seeded and true, seeded, true] cells."""
    x = model.preprocess(scene.image)[0][None]
    labels = kinds_of(model, scene)
    true = truth(model, scene)
    back = background(model, x, labels)
    counts = {}
    for method in (*METHODS, *BASELINES):
        seeds = planted(maps_of(model, x, labels, method, i), labels, back)
        each = [(label, seeds == label, true == label) for label in (0, *(label + 1 for label in labels))]
        counts[method] = [[label, int((a & b).sum()), int(a.sum()), int(b.sum())] for label, a, b in each]
    return counts


def kinds_of(model: Any, scene: vignettes.Vignette) -> list[int]:
    """The classes of the kinds of which something can be seen."""
    kinds = sorted({t.kind for t, mask in zip(scene.truth.things, scene.instances, strict=True) if mask.any()})
    return [list(model.classes).index(kind) for kind in kinds]


def truth(model: Any, scene: vignettes.Vignette) -> np.ndarray:
    """(GRID, GRID): 1 + the class at the middle of each cell, 0 where no thing is."""
    labelled = np.zeros(scene.instances.shape[1:], int)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        labelled[mask] = 1 + list(model.classes).index(thing.kind)
    middles = ((np.arange(GRID) + 0.5) * len(labelled) / GRID).astype(int)
    return labelled[np.ix_(middles, middles)]


def maps_of(model: Any, x: Tensor, labels: Sequence[int], method: str, i: int) -> np.ndarray:
    """(classes, GRID, GRID), un-normalised."""
    if method == "(random)":
        return np.random.default_rng(i).random((len(labels), GRID, GRID))
    if method == "(centre)":
        y, across = np.indices((GRID, GRID)) - GRID // 2
        return np.repeat(np.exp(-(y**2 + across**2) / (2 * (GRID / 6) ** 2))[None], len(labels), 0)
    maps = mmcam.attribute(model, x, list(labels), method=method)[:, 0]
    maps = maps if maps.ndim == 3 else maps.abs().amax(1)
    mode = {"size": (GRID, GRID), "mode": "bilinear", "align_corners": False}
    if maps.shape[-1] > GRID:
        mode = {"size": (GRID, GRID), "mode": "area"}  # of a pixel map, all pixels of a cell
    return F.interpolate(maps[:, None], **mode)[:, 0].numpy()  # type: ignore[arg-type]


def background(model: Any, x: Tensor, labels: Sequence[int]) -> np.ndarray:
    """(GRID, GRID), true at the tenth of the cells where the scores depend least on the earlier layer."""
    evidence = mmcam.evidence(model, x, list(labels), layer=EARLIER)
    strength = evidence.gradients[:, 0].abs().amax((0, 1))
    large = F.interpolate(strength[None, None], (GRID, GRID), mode="bilinear", align_corners=False)[0, 0]
    smooth = ndimage.median_filter(large.numpy(), size=3)
    return np.asarray(smooth <= np.quantile(smooth, BACKGROUND))


def planted(maps: np.ndarray, labels: Sequence[int], back: np.ndarray) -> np.ndarray:
    """(GRID, GRID): 1 + the class seeded in each cell, 0 for background, NOTHING where there is no seed.

    A class's seed overrules the background's; of two classes, that with fewer cells overrules the other.
    """
    seeds = np.where(back, 0, NOTHING)
    claims = [(cam > FOREGROUND * cam.max()) & (cam > 0) for cam in maps]
    for n in sorted(range(len(labels)), key=lambda n: -claims[n].sum()):
        seeds[claims[n]] = labels[n] + 1
    return seeds


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
        x, labels = model.preprocess(scene.image)[0][None], kinds_of(model, scene)
        back = background(model, x, labels)
        panels += [(scene.image, ""), (coloured(truth(model, scene), labels), "truth")]
        panels += [(coloured(planted(maps_of(model, x, labels, m, i), labels, back), labels), m) for m in methods]
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
