"""The two networks of the photographs made fully convolutional, as TorchRay's are for the pointing game."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from experiments.lib.photographs import networks

MEAN: Final = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD: Final = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def sliding(root: Path) -> dict[str, tuple[nn.Module, int]]:
    """Each network, giving scores (N,1000,h,w) of its own window at every place of a larger picture, and its side.

    Where the network has a global pool, one over the window's cells slides by a cell.
    """
    found: dict[str, Any] = {net.name: net.model for net in networks(root)}
    mobilenet, squeezenet = found["MobileNetV2"], found["SqueezeNet 1.0"]
    linear = mobilenet.classifier[1]
    scores = nn.Conv2d(linear.in_features, linear.out_features, 1)
    scores.load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
    return {
        "MobileNetV2": (nn.Sequential(mobilenet.features, nn.AvgPool2d(8, 1), scores).eval(), 225),
        "SqueezeNet 1.0": (
            nn.Sequential(squeezenet.features, squeezenet.classifier[:3], nn.AvgPool2d(13, 1)).eval(),
            227,
        ),
    }


def whole(picture: Image.Image, side: int) -> Tensor:
    """(1,3,H,W): the whole picture, its shorter side of that many pixels."""
    scale = side / min(picture.size)
    width, height = (max(side, round(length * scale)) for length in picture.size)
    pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    return ((torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255 - MEAN) / STD)[None]
