"""The pointing game: does the maximum of a map lie on the thing? (Zhang et al., arXiv 1608.00507, section 4.2.)

The modified game (Selvaraju et al., Grad-CAM, arXiv 1610.02391, on localising and class-discriminative ability) offers
the maps of a model's first five predictions and lets a method reject some: a faint map may mean that the class is not
there at all.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def inside(peak: tuple[int, int] | None, mask: NDArray[np.bool_], tolerance: float = 0) -> bool:
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


def peak(heatmap: NDArray[np.floating]) -> tuple[int, int] | None:
    """(x, y) of the maximum of a map (H, W); None for one that is positive nowhere and so points nowhere."""
    y, x = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
    return (int(x), int(y)) if heatmap[y, x] > 0 else None


def centre(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The peak of the centre baseline: the middle pixel, whatever the picture shows."""
    return mask.shape[1] // 2, mask.shape[0] // 2


def chance(mask: NDArray[np.bool_], tolerance: float = 0) -> float:
    """The random baseline: the probability that a uniformly drawn pixel hits the mask, with `inside`'s tolerance."""
    if not tolerance or not mask.any():
        return float(mask.mean())
    from scipy import ndimage

    return float((ndimage.distance_transform_edt(~mask) <= tolerance).mean())


def per_class(labels: Sequence[Hashable], hits: Sequence[float]) -> dict[Hashable, float]:
    """The share of hits of each class, 0..1, in the order the classes first appear.

    Args:
        labels: the class of each map.
        hits: whether its maximum lies on that class; of a random map, how likely it does.

    Raises:
        ValueError: not one hit or miss a label.
    """
    if len(labels) != len(hits):
        raise ValueError(f"There are {len(labels)} labels and {len(hits)} hits; give one hit or miss a label.")
    own: dict[Hashable, list[float]] = {}
    for label, hit in zip(labels, hits, strict=True):
        own.setdefault(label, []).append(hit)
    return {label: sum(found) / len(found) for label, found in own.items()}


def class_mean(labels: Sequence[Hashable], hits: Sequence[float]) -> float:
    """The game's accuracy: that of each class, then their mean, so that a frequent class does not outweigh the others.

    Raises:
        ValueError: there is none, or not one hit or miss a label.
    """
    if not len(labels):
        raise ValueError("There is no map to take the accuracy of.")
    return float(np.mean(list(per_class(labels, hits).values())))


@dataclass(frozen=True)
class Offered:
    """The map of one of a model's predictions.

    Attributes:
        maximum: of the map as the method gives it. A map scaled to 0..1 has the same maximum as every other, and
            nothing could be told by it.
        present: the predicted class is in the picture.
        hit: the maximum lies on it, or how likely that of a random map does; a class that is absent cannot be hit.
    """

    maximum: float
    present: bool
    hit: float

    def __post_init__(self) -> None:
        if self.hit and not self.present:
            raise ValueError("A class that is not in the picture cannot be hit.")
        if np.isnan(self.maximum):
            raise ValueError("The maximum of a map is not a number, so no threshold can tell whether to reject it.")


def accuracy_with_rejection(offered: Sequence[Offered], threshold: float, balanced: bool = False) -> float:
    """The modified game's accuracy, 0..1, when maps whose maximum is under the threshold are rejected.

    A rejected map is a hit if its class is absent, a kept one if its maximum lies on its class.

    Args:
        offered: maps of the predictions of many pictures.
        threshold: chosen for the method, on other pictures, by `rejection_threshold`.
        balanced: the mean of the accuracies over present and over absent classes. Four of five predictions for a
            picture with one class are absent, so rejecting everything is right in four of five; balanced, it is in
            half.

    Raises:
        ValueError: nothing is offered, or with `balanced` nothing present or nothing absent.
    """
    weights = _weights(offered, balanced)
    right = [(not o.present) if o.maximum < threshold else o.hit for o in offered]
    return float(weights @ np.array(right, dtype=float))


def rejection_threshold(offered: Sequence[Offered], balanced: bool = False) -> float:
    """The threshold with the highest accuracy on these maps; the lowest of several as good, which rejects the least.

    Returns:
        One of the maxima, or inf where rejecting everything is best.

    Raises:
        ValueError: as `accuracy_with_rejection`.
    """
    weights = _weights(offered, balanced)
    order = np.argsort([o.maximum for o in offered], kind="stable")
    maxima = np.array([offered[i].maximum for i in order] + [np.inf])
    # Raising the threshold past a map turns its hit into "rejected": what that gains, summed from below.
    gain = [weights[i] * (float(not offered[i].present) - float(offered[i].hit)) for i in order]
    gained = np.concatenate([[0.0], np.cumsum(gain)])
    possible = np.concatenate([[True], maxima[1:] > maxima[:-1]])  # equal maxima are rejected together
    gained[~possible] = -np.inf
    best = gained.max()
    # Weights that are no powers of two add up with rounding: what differs by less than that is as good.
    return float(maxima[np.flatnonzero(gained >= best - 1e-12)[0]])


def _weights(offered: Sequence[Offered], balanced: bool) -> NDArray[np.float64]:
    """What each map counts; all together 1."""
    present = np.array([o.present for o in offered], dtype=bool)
    if not len(offered):
        raise ValueError("No map is offered.")
    if not balanced:
        return np.full(len(offered), 1 / len(offered))
    if present.all() or not present.any():
        what = "present" if present.all() else "absent"
        raise ValueError(f"All classes are {what}, so a balanced accuracy is not defined; leave balanced= out.")
    some = int(present.sum())
    return np.where(present, 0.5 / some, 0.5 / (len(present) - some))
