"""Real ILSVRC photographs with boxes and two real ImageNet networks, from the folder that MMCAM_REAL_DATA names."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from torch import nn
from torchvision import models as zoo
from torchvision.models import ResNet50_Weights

import mmcam
from mmcam.model_spec import read_state

CLASSES = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
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
