"""A network that a person gives to a script: torchvision's architecture and a file of weights, as NAME=FILE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import typer
from torch import nn

import mmcam
from mmcam.models.specification import load_model


def given_network(text: str) -> tuple[str, nn.Module, mmcam.Preprocess]:
    """Name, network, and how its pictures are made.

    Raises:
        typer.BadParameter: not NAME=FILE, or the file does not fit.
    """
    name, _, file = text.partition("=")
    if not file:
        raise typer.BadParameter(f"--network is NAME=FILE, as vgg16=vgg16.pth; {text!r} is not.")
    try:
        model, preprocess = load_model(f"torchvision:{name}", Path(file))
    except mmcam.ExplainError as error:
        raise typer.BadParameter(str(error)) from error
    assert preprocess is not None
    return name, model, preprocess


def finetuned(text: str) -> tuple[str, nn.Module, mmcam.Preprocess, int]:
    """The same of one that was finetuned, with a head of another size, and the number of its outputs.

    It sees whole pictures, squashed to a square: a centre crop would cut off things that a picture's classes are about.
    """
    name, model, preprocess = given_network(text)
    with torch.no_grad():
        outputs = model(torch.zeros(1, 3, *preprocess.size)).shape[1]
    return name, model, replace(preprocess, mode="squash", resize=None), outputs
