"""Real ILSVRC photographs with boxes and real ImageNet networks, from the folder that MMCAM_REAL_DATA names.

The photographs are stored squashed to a square, their boxes are in the pixels of the originals. A network that squashes
reads the stored file; for one that crops it is resampled once, from the file to the size that is cut from. Maps are
laid over the original's pixels, where the protocols of localisation and pointing count.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import nn
from torchvision import models as zoo
from torchvision.models import ResNet50_Weights

import mmcam
from mmcam.image import Geometry
from mmcam.models.state import read_state
from models.efficientnet_lite import efficientnet_lite, preprocess_of

CLASSES = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
LITE = {"EfficientNet-Lite0": "efficientnet_lite0", "EfficientNet-Lite2": "efficientnet_lite2"}
FREE_WITH_CREDIT = 4  # COCO's id of CC BY 2.0, which allows changed copies to be shown with credit


@dataclass(frozen=True)
class Network:
    """A network, how its pictures are made, and the layer the literature explains."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess


@dataclass(frozen=True)
class Photo:
    """A validation photograph, its class, and where the class is.

    Attributes:
        name: of the file.
        path: of the file, which is squashed.
        size: (width, height) of the original.
        label: index of the class.
        boxes: (left, top, right, bottom) in pixels of the original, right and bottom inclusive.
    """

    name: str
    path: Path
    size: tuple[int, int]
    label: int
    boxes: tuple[tuple[int, int, int, int], ...]

    def open(self, preprocess: mmcam.Preprocess) -> Image.Image:
        """The photograph in the size at which its network's preparation resamples it at most once.

        Squashed, it is the stored file. Else it has the original's aspect, at the size that the preparation would
        resize the original to.
        """
        stored = mmcam.load_image(self.path)
        if preprocess.mode == "squash":
            return stored
        geometry = over(preprocess, self.size)
        height, width = (round(scale * side) for scale, side in zip(geometry.scale, geometry.original, strict=True))
        return stored.resize((width, height), preprocess.resample)


def over(preprocess: mmcam.Preprocess, size: tuple[int, int]) -> Geometry:
    """Where the pixels of a picture of (width, height) lie in a network's input."""
    return preprocess.geometry(size[1], size[0])


def spread(exp: mmcam.Explanation, preprocess: mmcam.Preprocess, size: tuple[int, int]) -> mmcam.Explanation:
    """The explanation of a photograph that was opened in another size, over the original's (width, height)."""
    return replace(exp, geometry=over(preprocess, size))


def networks(root: Path) -> list[Network]:
    """Two networks whose weights lie in the folder, and two whose weights come from packages."""
    mobilenet, squeezenet = zoo.mobilenet_v2(weights=None), zoo.squeezenet1_0(weights=None)
    mobilenet.load_state_dict(read_state(root / "weights" / "mobilenet_v2_tfquant_fp16.pth"))
    squeezenet.load_state_dict(read_state(root / "weights" / "squeezenet1_0_dc_fp16.pth"))
    return [
        Network("MobileNetV2", mobilenet.eval(), mmcam.Preprocess(size=(225, 225), mode="crop", resize=256)),
        Network("SqueezeNet 1.0", squeezenet.eval(), mmcam.Preprocess(size=(227, 227), mode="squash")),
        *(Network(title, efficientnet_lite(name), preprocess_of(name)) for title, name in LITE.items()),
    ]


def named(root: Path, name: str) -> Network:
    """One of the networks.

    Raises:
        StopIteration: there is none of that name.
    """
    return next(network for network in networks(root) if network.name == name)


def validation(root: Path) -> Iterator[Photo]:
    """The ILSVRC validation photographs."""
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
            yield Photo(row["file"], path, size, int(row["class_index"]), tuple(boxes[row["file"]]))


def counted(number: int, root: Path) -> str:
    """How many of the photographs a figure is of, in words."""
    there = sum(1 for _ in validation(root))
    return f"All {there}" if number == there else f"The first {number} of {there}"
