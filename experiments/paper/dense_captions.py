"""Do the maps of region captions lie inside their regions? The Grad-CAM paper's dense-captioning experiment.

Up to five captions of regions are explained for each picture, each as a whole (the log-probability of its words under
an ordinary captioner), and the mean of the map inside the region's box is divided by the mean outside. Regions are
those of vignettes, "a striped red car" with the box of the car, or DenseCap's, of any photographs. Ratios go into
runs/dense_captions, a line a picture, and a run that was stopped goes on there.

    python -m experiments.paper.dense_captions
    python -m experiments.paper.dense_captions --results results.json --photos FOLDER --captioner module:factory
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from torch.nn import functional as F

import mmcam
from experiments.lib.baseline import baseline
from experiments.lib.judging import KINDS
from experiments.lib.records import add, checksum, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from experiments.lib.text_prior import Tally, on_grid
from mmcam.datasets import vignettes
from mmcam.datasets.densecap import Region, densecap
from mmcam.datasets.vignettes.lexicon import article
from mmcam.evaluation.inside_outside import box_mask, inside_outside
from mmcam.evaluation.uncertainty import mean
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

Scene = tuple[str, Image.Image, list[Region]]
"""A picture's name, the picture, and its regions."""
Heatmap = NDArray[np.floating]


def main(
    pictures: int = 100,
    split: str = "test",
    captioner: Annotated[list[str] | None, typer.Option(help="Captioners; default the bundled ones.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Methods; default {', '.join(METHODS)}.")] = None,
    results: Annotated[Path | None, typer.Option(help="DenseCap's results.json.")] = None,
    photos: Annotated[Path | None, typer.Option(help="The original pictures it is about.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/dense_captions"),
) -> None:
    """Write dense-captions.json and .md."""
    if (results is None) != (photos is None):
        raise typer.BadParameter("--results and --photos belong together.")
    if results is None or photos is None:
        scenes: list[Scene] = []
        for i in range(pictures):
            scenes.append((f"{split} {i}", *vignette_regions(vignettes.draw(vignettes.seed(split, i)))))
        command = f"python -m experiments.paper.dense_captions --pictures {pictures} --split {split}"
    else:
        found = densecap(results, photos, REGIONS)[:pictures]
        scenes = [(str(path.resolve()), load_image(path), regions) for path, regions in found]
        command = f"python -m experiments.paper.dense_captions --results {results.name} --photos {photos.name}"
    names, methods = captioner or list(KINDS["caption"]), method or list(METHODS)
    if captioner or method:
        command += "".join(f" --captioner {name}" for name in names) + "".join(f" --method {name}" for name in methods)
    everywhere = sum(len(regions) - len(list(with_outside(image, regions))) for _, image, regions in scenes)
    rows = baselines(scenes, by_kind=results is None)
    for name in names:
        model, _ = load_model(name)
        for how in methods:
            path = work / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{checksum(model)}-{how}.jsonl"
            ratios, owners = judged(model, scenes, how, path)
            said = [ratio is not None for ratio in ratios]
            if not any(said):
                raise typer.BadParameter(
                    f"{name} knows no caption of a region in all of its words; take another captioner."
                )
            kept = np.array([ratio for ratio in ratios if ratio is not None])
            row = summary(kept, [owner for owner, known in zip(owners, said, strict=True) if known])
            rows.append({"model": name, "method": how, **row, "unknown words": said.count(False)})
    name = "dense-captions" if results is None else "dense-captions-densecap"
    table(rows, everywhere, stamp(command, pictures=len(scenes), seed=0), out / name)


def table(rows: list[dict[str, Any]], everywhere: int, stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table; `everywhere` regions have no inside or no outside."""
    head = (
        "model", "method", "regions", "inside ÷ outside", "± s.e.", "median", "empty maps", "nothing outside",
        "unknown words", "published",
    )  # fmt: skip
    cells = [
        [row["model"], row["method"], str(row["regions"])]
        + [f"{row[key]:.2f}" for key in ("mean", "standard_error", "median")]
        + [str(row["empty"]), str(row["infinite"]), str(row.get("unknown words", "")), PUBLISHED.get(row["method"], "")]
        for row in rows
    ]
    cells.insert(0, ["", "uniform", "", "1.00", "", "1.00", "", "", "", PUBLISHED["uniform"]])
    below = [
        "",
        "The mean is that of the ratios of single regions. Left out and counted: maps that are empty or have nothing "
        "outside, captions with a word that the captioner does not know, and "
        f"{everywhere} regions that are the whole picture or no pixel of it. "
        "Standard errors are clustered by picture. Random: noise, the same everywhere. Centre: a blob in the middle, "
        "σ = 0.25 of the sides. Text prior, of vignettes: the mean of the regions of the same kind of thing in "
        "the other pictures. Published: Selvaraju et al., neuraltalk2 on DenseCap's regions of photographs; other "
        "pictures and another captioner, so compare the order.",
    ]
    show(path, {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def judged(model: Any, scenes: Sequence[Scene], method: str, path: Path) -> tuple[list[float | None], list[str]]:
    """The ratio of every region, and the picture it is in; made or read, a line a picture.

    Regions that have changed, as those of other DenseCap results do, are made again.
    """
    done = {record["picture"]: record for record in read(path)}
    ratios, owners = [], []
    for name, image, regions in track(scenes, f"{type(model).__name__}, {method}"):
        asked = [[list(region.box), region.caption] for region in regions]
        record = done.get(name)
        if record is None or record["regions"] != asked:
            record = {"picture": name, "regions": asked, "ratios": list(ratios_of(model, image, regions, method))}
            add(path, [record])
        ratios += record["ratios"]
        owners += [name] * len(record["ratios"])
    return ratios, owners


def baselines(scenes: Sequence[Scene], by_kind: bool) -> list[dict[str, Any]]:
    """Rows of maps that saw no picture: noise, a blob in the centre, and where things of this kind are elsewhere."""
    noise = np.random.default_rng(0)
    usual = Tally()
    for _, image, regions in scenes:
        for region in regions:
            usual.add("region", kind_of(region), on_grid(box_mask(region.box, image.size)))
    found: dict[str, list[float]] = {name: [] for name in ("(random)", "(centre)", *["(text prior)"] * by_kind)}
    owners = []
    for name, image, regions in scenes:
        for region, mask in with_outside(image, regions):
            owners.append(name)
            found["(random)"].append(inside_outside(noise.random(mask.shape), mask))
            found["(centre)"].append(inside_outside(baseline("(centre)", mask.shape).numpy(), mask))
            if by_kind:
                found["(text prior)"].append(inside_outside(elsewhere(usual, image, regions, region), mask))
    return [{"model": "", "method": how, **summary(np.array(ratios), owners)} for how, ratios in found.items()]


def elsewhere(usual: Tally, image: Image.Image, regions: Sequence[Region], region: Region) -> Heatmap:
    """(H,W): the sum of the regions of a region's kind in the other pictures; of all kinds where none shows it."""
    own = [each for each in regions if kind_of(each) == kind_of(region)]
    key = f"region/{kind_of(region)}"
    if usual.counts[key] == len(own):
        key, own = "region", list(regions)
    grid = usual.sums[key] - sum(on_grid(box_mask(each.box, image.size)) for each in own)
    width, height = image.size
    # Sums of floats less their parts may fall below nothing by rounding.
    full = F.interpolate(torch.from_numpy(grid)[None, None].clamp(min=0), (height, width), mode="bilinear")
    return full[0, 0].numpy()


def kind_of(region: Region) -> str:
    """The kind of thing a region's caption is about: its last word."""
    return region.caption.split()[-1]


def vignette_regions(scene: vignettes.Vignette) -> tuple[Image.Image, list[Region]]:
    """A vignette and a caption for each of its things, at most five: texture if it has one, colour, kind."""
    regions = []
    for thing in scene.truth.things[:REGIONS]:
        words = [*([thing.texture] if thing.texture != "plain" else []), thing.colour, thing.kind]
        regions.append(Region(thing.box, " ".join([article(words[0]), *words]), 0.0))
    return scene.image, regions


def ratios_of(model: Any, image: Image.Image, regions: Sequence[Region], method: str) -> Iterator[float | None]:
    """The ratio of every region that has an inside and an outside; nan for an empty map, None for unknown words."""
    for region, mask in with_outside(image, regions):
        if knows(model, region.caption):
            exp = mmcam.explain_caption(model, image, region.caption, caption=region.caption, method=method)
            yield inside_outside(np.abs(exp.heatmap), mask)
        else:
            yield None


def knows(model: Any, caption: str) -> bool:
    """A captioner can be asked about all of a caption's words."""
    try:
        model.encode(caption)
    except ValueError:
        return False
    return True


def with_outside(image: Image.Image, regions: Sequence[Region]) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """The regions of a picture that have an inside and an outside, and their masks (H,W)."""
    for region in regions:
        mask = box_mask(region.box, image.size)
        if mask.any() and not mask.all():
            yield region, mask


def summary(ratios: np.ndarray, pictures: Sequence[str] | None = None) -> dict[str, Any]:
    """Mean with its standard error, clustered by picture if given, and median, of the ratios that are finite."""
    known = ratios[np.isfinite(ratios)]
    found = mean(np.where(np.isfinite(ratios), ratios, np.nan), pictures)
    return {
        "regions": len(ratios),
        "empty": int(np.isnan(ratios).sum()),
        "infinite": int(np.isinf(ratios).sum()),
        "mean": found.value,
        "standard_error": found.standard_error,
        "median": float(np.median(known)) if len(known) else float("nan"),
    }


if __name__ == "__main__":
    typer.run(main)
