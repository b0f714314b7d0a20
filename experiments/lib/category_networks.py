"""Networks that are asked about categories of pictures, each by one output or by several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from torch import nn

import mmcam
import models
from experiments.lib.category_outputs import outputs_of
from experiments.lib.given_network import finetuned
from experiments.lib.photographs import networks


@dataclass(frozen=True)
class Net:
    """A network, how its pictures are made, and the outputs that are each category it knows."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess
    outputs: dict[str, list[int]]


def nets_of(data: str, categories: Sequence[str], real: Path | None, given: Sequence[str]) -> list[Net]:
    """The bundled classifier for vignettes; for photographs those given, else the two whose weights lie at hand.

    All of them see the whole picture, squashed: what a crop leaves out could not be pointed at.

    Raises:
        typer.BadParameter: no network, or one whose outputs are no categories.
    """
    if data == "vignettes":
        model = models.load("vignette-classifier")
        known = {kind: [model.classes.index(kind)] for kind in categories}
        return [Net("vignette-classifier", model, model.preprocess, known)]
    if given:
        return [network_of(text, categories) for text in given]
    if real is None:
        raise typer.BadParameter("--network names a network and its weights, NAME=FILE, or set MMCAM_REAL_DATA.")
    return [
        Net(net.name, net.model, replace(net.preprocess, mode="squash"), outputs_of(categories, 1000))
        for net in networks(real)
    ]


def network_of(text: str, categories: Sequence[str]) -> Net:
    """A network given as NAME=FILE."""
    name, model, preprocess, outputs = finetuned(text)
    try:
        known = outputs_of(categories, outputs)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}") from error
    return Net(name, model, preprocess, known)
