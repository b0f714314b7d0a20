"""The pointing game: does the maximum of a map lie on the thing? (Zhang et al., arXiv 1608.00507, section 4.2.)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inside(peak: tuple[int, int] | None, mask: NDArray[np.bool_], tolerance: int = 0) -> bool:
    """Whether a maximum falls on a mask.

    Args:
        peak: (x, y) of the map's maximum, None for an empty map, which points nowhere and misses.
        mask: (H, W), true on the thing.
        tolerance: radius in pixels of the disk around the peak that has to touch the mask (the game's own is 15 on
            photographs; 0 asks for the very pixel).

    Raises:
        ValueError: the mask is empty, so that neither a hit nor a miss is defined; or the peak lies outside it.
    """
    if not mask.any():
        raise ValueError("The mask is empty: nothing is there to point at, so leave this picture out.")
    if peak is None:
        return False
    x, y = peak
    height, width = mask.shape
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f"The peak {peak} lies outside the mask of {width}×{height} pixels; use one of the map's size."
        )
    ys, xs = np.nonzero(mask)
    return bool((((xs - x) ** 2 + (ys - y) ** 2) <= tolerance**2).any())


def centre(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The peak of the centre baseline: the middle pixel, whatever the picture shows."""
    return mask.shape[1] // 2, mask.shape[0] // 2


def chance(mask: NDArray[np.bool_]) -> float:
    """The random baseline: the probability that a uniformly drawn pixel lies on the mask."""
    return float(mask.mean())
