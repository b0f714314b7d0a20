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

    Segments connect over the eight neighbours. They are found by joining the runs of the mask's rows, of which there
    are few: no picture of labels, four times a photograph's size, is made, and importing `scipy.ndimage` would cost a
    command more than its map does.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))), axis=1)  # where a run starts and, next to it in its row, stops
    at = np.flatnonzero(edges)
    rows, starts = np.divmod(at[::2], edges.shape[1])
    stops = at[1::2] - rows * edges.shape[1]
    # The first run of a segment in reading order stands for it.
    first, segment = np.unique(_joined(len(rows), *_touching(rows, starts, stops)), return_inverse=True)
    left, right, bottom = starts[first], stops[first], rows[first]
    np.minimum.at(left, segment, starts)
    np.maximum.at(right, segment, stops)
    np.maximum.at(bottom, segment, rows)
    sizes = np.bincount(segment, weights=stops - starts)
    boxes = np.stack([left, rows[first], right, bottom + 1], axis=1)[np.argsort(-sizes, kind="stable")]
    return [(x, y, right, bottom) for x, y, right, bottom in boxes.tolist()]


def _touching(
    rows: NDArray[np.intp], starts: NDArray[np.intp], stops: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of runs of neighbouring rows that touch, also at a corner; runs in reading order, `stops` exclusive."""
    wide = int(stops.max(initial=0)) + 1
    reach = (rows + 1) * wide
    begin = np.searchsorted(rows * wide + stops, reach + starts, side="left")
    end = np.searchsorted(rows * wide + starts, reach + stops, side="right")
    many = np.maximum(end - begin, 0)
    upper = np.repeat(np.arange(len(rows)), many)
    return upper, np.arange(len(upper)) + np.repeat(begin - (np.cumsum(many) - many), many)


def _joined(count: int, one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """The least member of the component that each of `count` nodes is in, for edges between `one` and `other`."""
    least = np.arange(count)
    while (apart := least[one] != least[other]).any():
        low, high = least[one[apart]], least[other[apart]]
        np.minimum.at(least, np.maximum(low, high), np.minimum(low, high))
        while (least != (jumped := least[least])).any():
            least = jumped
    return least


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
