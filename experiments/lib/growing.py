"""What is explained, in growing amounts: of each thing its sizes, and a call of a size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torchvision
from PIL import Image
from torch import nn

import mmcam
import models
from experiments.lib.small_models import seeded
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.datasets.photographs import shipped
from mmcam.datasets.vignettes import draw

Call = Callable[[], object]


@dataclass(frozen=True)
class Growing:
    """One thing that there can be more and more of.

    Attributes:
        sizes: ascending.
        call: of a size, what is measured; what it needs is made before it.
        what: is called, told in the table.
    """

    sizes: tuple[int, ...]
    call: Callable[[int], Call]
    what: str


def _targets(size: int) -> Call:
    network = seeded(lambda: torchvision.models.resnet18(num_classes=10_000))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return lambda: mmcam.attribute(network, x, range(size))


def _pictures(size: int) -> Call:
    classifier = models.load("vignette-classifier")
    pictures = [draw(seed).image for seed in range(size)]
    return lambda: [explained.heatmap for explained in mmcam.explain_class(classifier, pictures)]


def _megapixels(size: int) -> Call:
    classifier = models.load("photo-classifier")
    with Image.open(shipped().path) as opened:
        side = round((size * 1e6) ** 0.5)
        picture = opened.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            mmcam.explain_class(classifier, picture).save(Path(folder) / "map.png")

    return call


def _side(size: int) -> Call:
    network = seeded(torchvision.models.resnet18)
    side = round((size * 1e3) ** 0.5)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return lambda: mmcam.attribute(network, x, [0])


def _plain(size: int) -> Call:
    network = seeded(torchvision.models.resnet18)
    side = round((size * 1e3) ** 0.5)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def call() -> None:
        with torch.no_grad():
            network(x)

    return call


class _Wide(nn.Module):
    """A map of many units, whose cost is linear in them."""

    preprocess = mmcam.Preprocess(size=(224, 224), mode="squash")

    def __init__(self, units: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 16, 16), nn.ReLU())
        self.features = nn.Sequential(nn.Conv2d(32, units, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(units, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures (N,3,224,224) → logits (N,10)."""
        logits: torch.Tensor = self.classifier(self.features(self.stem(x)).mean((2, 3)))
        return logits


def _units(size: int) -> Call:
    network = seeded(lambda: _Wide(size))
    x = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return lambda: mmcam.attribute(network, x, range(10))


def _dissected(size: int) -> Call:
    network, data = seeded(lambda: _Wide(size)), VignetteConcepts(size=32)
    return lambda: mmcam.dissect(network, data, "features", shuffles=19)


def _labelled(size: int) -> Call:
    network = seeded(lambda: _Wide(256))
    data = VignetteConcepts(size=size)
    return lambda: mmcam.dissect(network, data, "features", shuffles=19)


def _vocabulary(size: int) -> Call:
    words = [f"w{number}" for number in range(size)]
    captioner = seeded(lambda: models.Captioner(words))
    picture = draw(0).image
    return lambda: mmcam.explain_caption(captioner, picture, caption=" ".join(words[:8]))


def _words(size: int) -> Call:
    captioner = models.load("vignette-captioner")
    picture = draw(0).image
    caption = " ".join(captioner.vocabulary[number % 8] for number in range(size))
    return lambda: mmcam.explain_caption(captioner, picture, caption=caption)


GROWING: Final = {
    "targets": Growing((1, 10, 100, 1000, 10_000), _targets, "classes of one picture, ResNet-18"),
    "pictures": Growing((1, 4, 16, 64, 256), _pictures, "`explain_class` of a list and its heatmaps, vignettes"),
    "megapixels": Growing((1, 3, 12, 48), _megapixels, "a photograph of so many, its map at its size saved as PNG"),
    "thousand pixels of input": Growing((50, 200, 800, 3200), _side, "the network's input, ResNet-18"),
    "thousand pixels, forward": Growing((50, 200, 800, 3200), _plain, "no map: the same network's forward alone"),
    "units": Growing((256, 1024, 4096, 16_384), _units, "of the layer, ten targets of eight pictures"),
    "units dissected": Growing((64, 256, 1024, 4096), _dissected, "on 32 vignettes, 19 shuffles"),
    "pictures dissected": Growing((32, 128, 512), _labelled, "256 units, 19 shuffles"),
    "vocabulary": Growing((1000, 4000, 16_000, 64_000), _vocabulary, "a caption of eight words, all explained, LSTM"),
    "words": Growing((6, 12, 24, 48, 96), _words, "of a caption, all explained, LSTM"),
}
