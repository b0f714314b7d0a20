"""The connected parts of a map that are strong: masks, boxes, and the smoothing that a map of pixels needs first."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmcam.drawing.overlay import Box
from mmcam.errors import ExplainError

SHARE = 0.15
"""Of the maximum: where the Grad-CAM paper cuts a map to a box."""

BLUR = 0.02
"""The standard deviation that a gradient's magnitude is smoothed with, as a share of its longer side (TorchRay's)."""


def check_share(threshold: float) -> float:
    """A threshold as a plain number.

    Raises:
        ExplainError: it is no share of the maximum.
    """
    is_number = isinstance(threshold, (Real, np.floating, np.integer)) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold <= 1:
        raise ExplainError(f"The threshold of a box is a share of the maximum from 0 to 1; {threshold!r} is not.")
    return float(threshold)


def above(heatmap: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Where a map (H,W) has at least a share of its maximum, which has to be positive."""
    # In double precision: a share of the least of floats would be rounded to 0.
    return np.asarray(heatmap >= np.float64(threshold) * np.float64(heatmap.max()), bool)


def boxes_of(mask: NDArray[np.bool_]) -> list[Box]:
    """The boxes of the connected segments of a mask (H,W), those of more pixels first, else in reading order.

    Segments connect over the eight neighbours.
    """
    from scipy import ndimage

    segments, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return []
    # In parts: counting copies what it counts to integers as wide as pointers.
    parts = np.array_split(segments.ravel(), 1 + segments.size // 2**21)
    sizes = np.sum([np.bincount(part, minlength=count + 1) for part in parts], axis=0)[1:]
    found = ndimage.find_objects(segments)
    ordered = (found[index] for index in np.argsort(-sizes, kind="stable"))
    return [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in ordered]


def smoothed(magnitude: Tensor) -> Tensor:
    """A map (h,w) blurred with a Gaussian of `BLUR` of its longer side; the border is repeated outwards.

    The magnitude of a gradient is strong in single pixels, whose segments say nothing of things. TorchRay (Fong,
    Patrick & Vedaldi, ICCV 2019) smooths it so before it looks for the maximum.
    """
    deviation = BLUR * max(magnitude.shape)
    radius = math.ceil(3 * deviation)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32, device=magnitude.device)
    kernel = torch.exp(-0.5 * (steps / deviation) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(magnitude.detach().float()[None, None], (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(across, kernel.view(1, 1, -1, 1))[0, 0]
