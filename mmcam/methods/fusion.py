"""One map from several layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps


def fuse(maps: Sequence[Maps]) -> Maps:
    """The greatest value of several layers' cams at each cell of the finest (Jiang et al., LayerCAM, section III-C).

    Each cam is first divided by its own maximum, since layers have different scales, and then enlarged; so the result
    is relative, between 0 and 1. A cam that is positive nowhere adds nothing.

    Raises:
        ExplainError: the maps are pixel maps, which belong to no layer.
    """
    if any(part.values.ndim != 4 for part in maps):
        raise ExplainError("Pixel maps belong to no layer, so there is nothing to fuse; name one layer.")
    size = max((part.values.shape[-2:] for part in maps), key=lambda side: side[0] * side[1])
    scaled = []
    for part in maps:
        values = part.values.relu()
        top = values.amax(dim=(-2, -1), keepdim=True)
        values = values / torch.where(top > 0, top, 1.0)
        scaled.append(F.interpolate(values, size, mode="bilinear", align_corners=False))
    return Maps(torch.stack(scaled).amax(0), maps[0].scores)
