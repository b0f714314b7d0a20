"""How much more a map shows inside a region than outside (Grad-CAM, arXiv 1610.02391, on dense captions)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def inside_outside(heatmap: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """The mean of a map inside a region over its mean outside: exactly 1 for a map that is the same everywhere.

    Args:
        heatmap: (H, W), not negative; of a gradient, pass the magnitude. Its scale does not matter.
        mask: (H, W), true in the region, or `box_mask` of its box.

    Returns:
        0 when all of the map lies outside, inf when all of it lies inside, nan for an empty map, which says nothing of
        either: leave it out of a mean.

    Raises:
        ValueError: the map is of another size, or has negative, infinite or undefined values; or the mask is empty or
            everything, so that there is no inside or no outside.
    """
    if heatmap.shape != mask.shape:
        raise ValueError(f"The map has shape {heatmap.shape} and the mask {mask.shape}; bring both to one size.")
    if not mask.any() or mask.all():
        what = "everything" if mask.any() else "empty"
        raise ValueError(f"The mask is {what}: nothing to compare inside with outside, so leave this region out.")
    if not (np.isfinite(heatmap) & (heatmap >= 0)).all():
        raise ValueError("The map has negative, infinite or undefined values; pass the magnitude of a gradient.")
    peak = heatmap.max()
    if peak == 0:
        return math.nan
    # Divided by its peak an even map is all ones, whose means are exact.
    relative = heatmap.astype(np.float64) / float(peak)
    inside, outside = float(relative[mask].mean()), float(relative[~mask].mean())
    return inside / outside if outside > 0 else math.inf


def box_mask(box: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a box.

    Args:
        box: (left, top, right, bottom) in pixels from 0, right and bottom exclusive; what lies outside the picture is
            ignored.
        size: (width, height) of the picture, as Pillow gives it.

    Returns:
        (height, width), true in the box; empty for a box too thin to reach the centre of a pixel.
    """
    left, top, right, bottom = box
    xs, ys = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return ((ys >= top) & (ys < bottom))[:, None] & ((xs >= left) & (xs < right))[None]
