"""How much of a map lies on the thing: CLEVR-XAI's two figures (Arras et al., arXiv 2003.07258, section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mass(heatmap: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Relevance mass accuracy: the share of a map's positive relevance that lies on the mask; 0 for an empty map.

    Args:
        heatmap: (H, W); negative relevance counts as none.
        mask: (H, W), true on the thing. A map that is the same everywhere gets the mask's share of the picture.

    Raises:
        ValueError: the mask is empty or of another size.
    """
    _check(heatmap, mask)
    positive = np.clip(heatmap.astype(np.float64), 0, None)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def rank(heatmap: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Relevance rank accuracy: the share of the K most relevant pixels that lie on the mask, K being its size.

    Equal pixels at the limit share the places that are left, so a map that is the same everywhere gets the mask's share
    of the picture rather than a figure that depends on the order of the pixels.

    Raises:
        ValueError: the mask is empty or of another size.
    """
    _check(heatmap, mask)
    size = int(mask.sum())
    limit = np.partition(heatmap.ravel(), -size)[-size]
    above, equal = heatmap > limit, heatmap == limit
    places = size - above.sum()
    return float((mask & above).sum() + (mask & equal).sum() * places / equal.sum()) / size


def found(heatmap: NDArray[np.floating], masks: NDArray[np.bool_], share: float = 0.2) -> float:
    """The share of several things that a map shows: of which at least `share` is among its K most relevant pixels.

    K is the number of pixels of all things together. So a map that is spread over everything finds none, and one that
    has only one of two things finds half.

    Args:
        heatmap: (H, W).
        masks: (M, H, W), one a thing, none empty.
        share: of a thing's pixels, between 0 and 1.

    Raises:
        ValueError: a mask is empty or of another size.
    """
    for mask in masks:
        _check(heatmap, mask)
    size = int(masks.any(0).sum())
    limit = np.partition(heatmap.ravel(), -size)[-size]
    top = (heatmap >= limit) & (heatmap > 0)
    return float(np.mean([top[mask].mean() >= share for mask in masks]))


def _check(heatmap: NDArray[np.floating], mask: NDArray[np.bool_]) -> None:
    if heatmap.shape != mask.shape:
        raise ValueError(f"The map has shape {heatmap.shape} and the mask {mask.shape}; bring both to one size.")
    if not mask.any():
        raise ValueError("The mask is empty: nothing is there to be found, so leave this picture out.")
