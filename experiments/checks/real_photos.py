"""Real photographs, real ImageNet networks: are they classified rightly, and do the maps point at the thing?

Needs the folder named by MMCAM_REAL_DATA (see data/README.md). Two networks in torchvision's architectures: MobileNetV2
(original aspect, shorter side 256, centre crop 225) and SqueezeNet (squashed to 227). Pointing follows the pointing
game without tolerance: the maximum of the map for the true class, in original pixels, lies in one of its boxes.

    MMCAM_REAL_DATA=… python -m experiments.checks.real_photos
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from rich.progress import track
from torch import nn
from torchvision import models as zoo
from torchvision.models import ResNet50_Weights

import mmcam
from experiments.lib.tables import show
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation import mean
from mmcam.evaluation.localisation import covered
from mmcam.evaluation.pointing import centre, chance, inside
from mmcam.files import write_whole
from mmcam.models.state import read_state

CLASSES = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
ERROR = " ± s.e."
FREE_WITH_CREDIT = 4  # COCO's id of CC BY 2.0, which allows changed copies to be shown with credit


@dataclass(frozen=True)
class Network:
    """A network, how its pictures are made, and the layer the literature explains."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess


@dataclass(frozen=True)
class Photo:
    """A validation photograph, its class, and boxes (left, top, right, bottom), right and bottom inclusive.

    `open` gives it in its original size.
    """

    name: str
    open: Callable[[], Image.Image]
    label: int
    boxes: tuple[tuple[int, int, int, int], ...]


def networks(root: Path) -> list[Network]:
    """The two networks whose weights lie in the folder."""
    mobilenet, squeezenet = zoo.mobilenet_v2(weights=None), zoo.squeezenet1_0(weights=None)
    mobilenet.load_state_dict(read_state(root / "weights" / "mobilenet_v2_tfquant_fp16.pth"))
    squeezenet.load_state_dict(read_state(root / "weights" / "squeezenet1_0_dc_fp16.pth"))
    return [
        Network("MobileNetV2", mobilenet.eval(), mmcam.Preprocess(size=(225, 225), mode="crop", resize=256)),
        Network("SqueezeNet 1.0", squeezenet.eval(), mmcam.Preprocess(size=(227, 227), mode="squash")),
    ]


def validation(root: Path) -> Iterator[Photo]:
    """The ILSVRC validation photographs, un-squashed to their original size."""
    folder = root / "imagenet_val"
    boxes: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            left, top, right, bottom = (int(row[f"orig_{side}"]) for side in ("x0", "y0", "x1", "y1"))
            boxes[row["file"]].append((left, top, right, bottom))
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            size = int(row["orig_width"]), int(row["orig_height"])
            path = folder / "images" / row["file"]
            yield Photo(row["file"], partial(restored, path, size), int(row["class_index"]), tuple(boxes[row["file"]]))


def restored(path: Path, size: tuple[int, int]) -> Image.Image:
    """A squashed photograph at its original (width, height)."""
    return mmcam.load_image(path).resize(size, Image.Resampling.BICUBIC)


def measure(network: Network, root: Path, limit: int | None = None) -> dict[str, Any]:
    """Accuracy and pointing of one network over the photographs (or the first `limit`)."""
    top1, top5, rows = [], [], []
    for i, photo in enumerate(track(validation(root), network.name, total=limit)):
        if limit is not None and i >= limit:
            break
        picture = photo.open()
        x, _ = network.preprocess(picture)
        with torch.no_grad():
            best = network.model(x[None])[0].topk(5).indices.tolist()
        top1.append(best[0] == photo.label)
        top5.append(photo.label in best)
        if not photo.boxes:
            continue
        exp = mmcam.explain_class(network.model, picture, photo.label, preprocess=network.preprocess)
        mask = covered(photo.boxes, picture.size)
        rows.append((inside(exp.peak(), mask), inside(centre(mask), mask), chance(mask)))
    hits = np.array(rows, dtype=float)
    small = hits[hits[:, 2] < 0.25]
    return {
        "network": network.name,
        "photographs": len(top1),
        **percent("top-1 %", top1),
        **percent("top-5 %", top5),
        "with boxes": len(hits),
        **shares("all", hits),
        "small boxes": len(small),
        **shares("small", small),
    }


def shares(name: str, hits: np.ndarray) -> dict[str, float]:
    """Pointing of the map, of the centre and of a random pixel, in percent, with standard errors."""
    if not len(hits):
        return {}
    found: dict[str, float] = {}
    for what, column in zip(("pointing", "centre", "random"), hits.T, strict=True):
        found |= percent(f"{what} {name} %", column)
    return found


def percent(name: str, values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """A share in percent and, as "NAME ± s.e.", its standard error, each photograph having one value."""
    share = mean(100 * np.asarray(values, dtype=float))
    return {name: share.value, name + ERROR: share.standard_error}


def sheet(network: Network, root: Path, count: int = 20) -> tuple[Image.Image, list[str]]:
    """Predicted classes and overlays for COCO photographs under CC BY 2.0, and the credit line of each."""
    index = json.loads((root / "coco" / "instances.json").read_text())
    free = [image for image in index["images"] if image["license"] == FREE_WITH_CREDIT][:count]
    files = [root / "coco" / "images" / image["file_name"] for image in free]
    panels, notes, credits = [], [], []
    for image, exp in zip(
        free, mmcam.explain_class(network.model, files, preprocess=network.preprocess, names=CLASSES), strict=True
    ):
        panels += [(exp.image, ""), (exp.overlay(), exp.target)]
        notes += ["", f"{exp.score:.1f}"]
        credits.append(f"COCO {image['id']}, {image['flickr_url']}, CC BY 2.0 ({exp.target})")
    return draw_strip(panels, notes, columns=8), credits


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs and weights.")],
    limit: Annotated[int | None, typer.Option(help="Only the first so many photographs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the sheet.")] = Path("experiments/results"),
) -> None:
    """Measure both networks on the validation photographs and draw a sheet of freely licensed ones."""
    found = networks(root)
    report: dict[str, Any] = {
        "command": "MMCAM_REAL_DATA=… python -m experiments.checks.real_photos"
        + (f" --limit {limit}" if limit else ""),
        "versions": {"mmcam": mmcam.__version__, "torch": torch.__version__},
        "rows": [measure(network, root, limit) for network in found],
    }
    picture, credits = sheet(found[1], root)
    write_whole(out / "real-photos.jpg", lambda file: picture.save(file, "JPEG", quality=85))
    head = ["", *(row["network"] for row in report["rows"])]
    keys = [key for key in report["rows"][0] if key != "network" and not key.endswith(ERROR)]
    cells = [[key, *(told(row, key) for row in report["rows"])] for key in keys]
    below = ["", "±: standard error over the photographs. Small boxes cover less than a quarter of the picture.", ""]
    below += ["![Twenty photographs and their maps](real-photos.jpg)", ""]
    below += ["SqueezeNet's predicted class and its Grad-CAM. Photographs:", "", *(f"- {line}" for line in credits)]
    show(out / "real-photos", report, head, cells, [f"`{report['command']}`"], below)


def told(row: dict[str, Any], key: str) -> str:
    """A number, or a share and its standard error; "" where there was no such photograph."""
    if key not in row:
        return ""
    return f"{row[key]:.1f} ± {row[key + ERROR]:.1f}" if key + ERROR in row else str(row[key])


if __name__ == "__main__":
    typer.run(main)
