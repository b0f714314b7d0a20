"""Do the maps of region captions lie inside their regions? The Grad-CAM paper's dense-captioning experiment.

Up to five captions of regions are explained for each picture, each as a whole (the log-probability of its words under
an ordinary captioner), and the mean of the map inside the region's box is divided by the mean outside. Regions are
those of vignettes, "a striped red car" with the box of the car, or DenseCap's, of any photographs:

    python -m experiments.dense_captions
    python -m experiments.dense_captions --results results.json --photos FOLDER --captioner module:factory
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import track

import mmcam
from experiments.judging import KINDS
from experiments.tables import show
from mmcam.datasets import vignettes
from mmcam.datasets.densecap import Region, densecap
from mmcam.datasets.vignettes.lexicon import article
from mmcam.evaluation.inside_outside import box_mask, inside_outside
from mmcam.image import load_image
from mmcam.model_spec import load_model

METHODS = ("guided_backprop", "gradcam", "guided_gradcam", "layercam")
PUBLISHED = {
    "uniform": "1.0",
    "guided_backprop": "2.32 ± 0.08",
    "gradcam": "3.27 ± 0.18",
    "guided_gradcam": "6.38 ± 0.99",
}
REGIONS = 5


def main(
    pictures: int = 100,
    split: str = "test",
    captioner: Annotated[list[str] | None, typer.Option(help="Captioners; default the bundled ones.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Methods; default {', '.join(METHODS)}.")] = None,
    results: Annotated[Path | None, typer.Option(help="DenseCap's results.json.")] = None,
    photos: Annotated[Path | None, typer.Option(help="The original pictures it is about.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write dense-captions.json and .md."""
    if (results is None) != (photos is None):
        raise typer.BadParameter("--results and --photos belong together.")
    if results is None or photos is None:
        scenes = [vignette_regions(vignettes.draw(vignettes.seed(split, i))) for i in range(pictures)]
        command = f"python -m experiments.dense_captions --pictures {pictures} --split {split}"
    else:
        scenes = [(load_image(path), regions) for path, regions in densecap(results, photos, REGIONS)[:pictures]]
        command = f"python -m experiments.dense_captions --results {results.name} --photos {photos.name}"
    names, methods = captioner or list(KINDS["caption"]), method or list(METHODS)
    if captioner or method:
        command += "".join(f" --captioner {name}" for name in names) + "".join(f" --method {name}" for name in methods)
    rows = []
    for name in names:
        model, _ = load_model(name)
        for how in methods:
            ratios = [ratio for scene in track(scenes, f"{name}, {how}") for ratio in ratios_of(model, *scene, how)]
            rows.append({"model": name, "method": how, **summary(np.array(ratios))})
    head = ("model", "method", "regions", "inside ÷ outside", "± s.e.", "median", "empty maps", "published")
    cells = [
        [row["model"], row["method"], str(row["regions"])]
        + [f"{row[key]:.2f}" for key in ("mean", "standard_error", "median")]
        + [str(row["empty"]), PUBLISHED.get(row["method"], "")]
        for row in rows
    ]
    cells.insert(0, ["", "uniform", "", "1.00", "", "1.00", "", PUBLISHED["uniform"]])
    below = [
        "",
        "The mean is that of the ratios of single regions, maps that are empty left out. Published: Selvaraju et al., "
        "neuraltalk2 on DenseCap's regions of photographs; other pictures and another captioner, so compare the order.",
    ]
    show(out / "dense-captions", {"command": command, "rows": rows}, head, cells, [f"`{command}`"], below)


def vignette_regions(scene: vignettes.Vignette) -> tuple[Image.Image, list[Region]]:
    """A vignette and a caption for each of its things, at most five: texture if it has one, colour, kind."""
    regions = []
    for thing in scene.truth.things[:REGIONS]:
        words = [*([thing.texture] if thing.texture != "plain" else []), thing.colour, thing.kind]
        regions.append(Region(thing.box, " ".join([article(words[0]), *words]), 0.0))
    return scene.image, regions


def ratios_of(model: Any, image: Image.Image, regions: Sequence[Region], method: str) -> Iterator[float]:
    """The ratio of every region of a picture that has an inside and an outside; nan for an empty map."""
    for region in regions:
        mask = box_mask(region.box, image.size)
        if mask.any() and not mask.all():
            exp = mmcam.explain_caption(model, image, region.caption, caption=region.caption, method=method)
            yield inside_outside(np.abs(exp.heatmap), mask)


def summary(ratios: np.ndarray) -> dict[str, Any]:
    """Mean with its standard error, and median, of the maps that are not empty."""
    known = ratios[np.isfinite(ratios)]
    return {
        "regions": len(ratios),
        "empty": int(np.isnan(ratios).sum()),
        "infinite": int(np.isinf(ratios).sum()),
        "mean": float(known.mean()),
        "standard_error": float(known.std() / np.sqrt(len(known))),
        "median": float(np.median(known)),
    }


if __name__ == "__main__":
    typer.run(main)
