"""Vignettes, ILSVRC's photographs and VOC's: a network that classifies them, and the classes that are explained."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
import typer
from torch import Tensor, nn

import mmcam
import models
from experiments.lib.given_network import finetuned
from experiments.lib.photographs import named, validation
from mmcam.datasets import vignettes, voc
from mmcam.datasets.concepts.voc import CLASSES as VOC_CLASSES

WORLDS: Final[dict[str, int | None]] = {"vignettes": 40, "photographs": 30, "photographs-lite0": 30, "voc": None}
"""Which pictures, and how many unless told otherwise; None: all there are."""
PHOTOGRAPHS: Final = {"photographs": "SqueezeNet 1.0", "photographs-lite0": "EfficientNet-Lite0"}
"""The network that sees them."""
Probability = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Net:
    """A network, how its pictures are made, and what makes probabilities of its logits."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess
    probability: Probability


@dataclass(frozen=True)
class Asked:
    """A picture as the model takes it, (C,H,W), by its name, and the classes that are explained."""

    name: str
    picture: Tensor
    labels: tuple[int, ...]


def bundled(world: str) -> Net:
    """The network of a world whose weights are at hand."""
    if world == "vignettes":
        name = "vignette-classifier"
        model: Any = models.load(name)
        return Net(name, model.to(memory_format=torch.channels_last), model.preprocess, torch.sigmoid)
    if world not in PHOTOGRAPHS:
        raise typer.BadParameter(f"There is no world {world!r} here; choose of {', '.join(WORLDS)}.")
    if "MMCAM_REAL_DATA" not in os.environ:
        raise typer.BadParameter("Photographs need the folder named by MMCAM_REAL_DATA (see data/README.md).")
    found = named(Path(os.environ["MMCAM_REAL_DATA"]), PHOTOGRAPHS[world])
    model = found.model.to(memory_format=torch.channels_last)
    return Net(found.name, model, found.preprocess, lambda logits: logits.softmax(1))


@torch.no_grad()
def questions(world: str, net: Net, count: int | None) -> Iterator[Asked]:
    """`count` pictures of a world and one class of each."""
    model: Any = net.model
    if world in PHOTOGRAPHS:
        root = Path(os.environ["MMCAM_REAL_DATA"])
        for i, photo in enumerate(islice(validation(root), count)):
            x = net.preprocess(photo.open(net.preprocess))[0]
            yield Asked(str(i), x, (int(model(x[None]).argmax()),))
        return
    yield from islice(certain(net), count)


def certain(net: Net) -> Iterator[Asked]:
    """Test vignettes, and of each a kind in turn, where the network finds it."""
    model: Any = net.model
    for i in itertools.count():
        scene = vignettes.draw(vignettes.seed("test", i))
        kinds = sorted({thing.kind for thing in scene.truth.things})
        x = net.preprocess(scene.image)[0]
        label = list(model.classes).index(kinds[i % len(kinds)])
        with torch.no_grad():
            found = bool(model(x[None])[0, label] > 0)
        if found:
            yield Asked(str(i), x, (label,))


def of_voc(text: str) -> Net:
    """A network that was finetuned to VOC's classes, from NAME=FILE."""
    name, model, preprocess, outputs = finetuned(text)
    if outputs != len(VOC_CLASSES):
        raise typer.BadParameter(
            f"{text} has {outputs} outputs; finetune the network to VOC's {len(VOC_CLASSES)} classes."
        )
    return Net(name, model.to(memory_format=torch.channels_last), preprocess, torch.sigmoid)


def annotated(root: Path, net: Net, count: int | None) -> Iterator[Asked]:
    """VOC's val photographs with every class that is there; one that shows only difficult things is left out."""
    try:
        for photo in islice((p for p in voc.detection(root, "val") if p.names()), count):
            x = net.preprocess(mmcam.load_image(photo.path))[0]
            yield Asked(photo.path.stem, x, tuple(VOC_CLASSES.index(name) for name in photo.names()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
