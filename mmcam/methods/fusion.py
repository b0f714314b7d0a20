"""One map from several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

import torch
from torch.nn import functional as F

from mmcam.errors import ExplainError
from mmcam.methods.registry import Fusion, Maps

FUSIONS: Final[tuple[str, ...]] = get_args(Fusion)


def check_fusion(how: str, layers: int) -> None:
    """Raise ExplainError for a fusion that there is not, or one of a single layer."""
    if how not in FUSIONS:
        raise ExplainError(f"There is no fusion {how!r}; choose {' or '.join(map(repr, FUSIONS))}.")
    if how != FUSIONS[0] and layers < 2:
        raise ExplainError(f"fuse={how!r} joins the maps of several layers; name them, as layer=['layer3', 'layer4'].")


def fuse(maps: Sequence[Maps], how: Fusion = "max") -> Maps:
    """Several layers' cams as one, at the cells of the finest.

    Each cam is cut at zero, divided by its own maximum, since layers have different scales, and enlarged bilinearly.
    Then, cell by cell:

    * "max": the greatest value (Jiang et al., LayerCAM, section III-C): what any layer sees. The result is between 0
      and 1, and a cam that is positive nowhere adds nothing.
    * "product": their product (ours): what all layers see. A late layer says which thing, an early one where its edges
      are. The result is between 0 and 1, and empty where one of the cams is, or where no cell is positive in all.

    Raises:
        ExplainError: the maps are pixel maps, which belong to no layer.
    """
    if any(part.values.ndim != 4 for part in maps):
        raise ExplainError("Pixel maps belong to no layer, so there is nothing to fuse; name one layer.")
    size = max((part.values.shape[-2:] for part in maps), key=lambda side: side[0] * side[1])
    scaled, positive = [], []
    for part in maps:
        values = part.values.relu()
        top = values.amax(dim=(-2, -1), keepdim=True)
        values = values / torch.where(top > 0, top, 1.0)
        scaled.append(F.interpolate(values, size, mode="bilinear", align_corners=False))
        positive.append((top > 0).flatten(2).any(2))
    together = torch.stack(scaled)
    values = together.amax(0) if how == "max" else together.prod(0)
    return Maps(values, maps[0].scores, positive=torch.stack(positive))
