"""A user's pictures as a model takes them: its own preparation, or the one that is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mmcam.adapters.timm import timm_preprocess
from mmcam.image import Batch, Preprocess, prepare, preprocess_of


def batch_of(module: nn.Module, images: Any, preprocess: Any) -> Batch:
    """What a user calls a picture, or a list of them, as the model takes them; `preprocess` None is the model's own."""
    if preprocess is None:
        preprocess = getattr(module, "preprocess", None) or timm_preprocess(module)
    made = Preprocess(resize=256) if preprocess is None else preprocess_of(preprocess)
    parameter = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return prepare(images, made, parameter.device, parameter.dtype)
