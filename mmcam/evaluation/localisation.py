"""The ILSVRC localisation error: is the class right, and does a box cover the thing?

Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, arXiv 1409.0575, section 4.2, with the details of
the challenge's own evaluation: the last pixel of a box belongs to it, and coordinates are the original picture's.

A box here is (left, top, right, bottom) in pixels of the original picture, right and bottom INCLUSIVE: a box of one
pixel has left == right. Pillow's boxes and those of `Explanation.box` end one pixel later: `inclusive` converts them.
Whether pixels are counted from 0 or from 1 makes no difference, as long as both boxes do it alike.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the original picture, right and bottom inclusive."""

OVERLAP = 0.5
"""The IoU from which on a box is a hit."""


@dataclass(frozen=True)
class Located:
    """What a model said of a picture, and what is true.

    Attributes:
        predictions: (box, label), the surest first; the box is None where a map was empty: right as a class, but
            nowhere.
        truth: the boxes of each class that is there; ILSVRC names one class a picture.
        blacklisted: its boxes are not reliable, so only its class counts.
    """

    predictions: Sequence[tuple[Box | None, Hashable]]
    truth: Mapping[Any, Sequence[Box]]
    blacklisted: bool = False


@dataclass(frozen=True)
class Error:
    """A share of pictures (0..1), its standard error √(p(1−p)/n), and n."""

    value: float
    standard_error: float
    pictures: int


def inclusive(box: Sequence[float]) -> Box:
    """The box whose right and bottom are exclusive, as `Explanation.box` and Pillow give it, by its last pixels."""
    left, top, right, bottom = box
    return left, top, right - 1, bottom - 1


def covered(boxes: Iterable[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of any of some boxes, right and bottom inclusive: (H, W), in a picture of (width, height)."""
    mask = np.zeros(size[::-1], dtype=bool)
    for box in boxes:
        left, top, right, bottom = map(int, box)
        mask[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
    return mask


def iou(a: Box, b: Box) -> float:
    """The intersection of two boxes over their union, 0..1; widths are right − left + 1.

    Raises:
        ValueError: a box has no pixel or a side that is not finite.
    """
    areas = []
    for left, top, right, bottom in (a, b):
        if not all(map(math.isfinite, (left, top, right, bottom))) or right < left or bottom < top:
            raise ValueError(
                f"{(left, top, right, bottom)} is no box: (left, top, right, bottom), the last two inclusive."
            )
        areas.append((right - left + 1) * (bottom - top + 1))
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (areas[0] + areas[1] - both)


def classified(picture: Located, k: int = 5) -> bool:
    """One of the first k labels is there.

    Raises:
        ValueError: k is not positive.
    """
    return any(label in picture.truth for _, label in _first(picture, k))


def localised(picture: Located, k: int = 5, overlap: float = OVERLAP) -> bool:
    """One of the first k predictions has a label that is there and a box that covers a box of that label.

    A box may cover any of the label's boxes: one instance found is enough.

    Args:
        picture: its predictions and truth.
        k: how many predictions count.
        overlap: the least IoU of a hit.

    Raises:
        ValueError: k is not positive, or a label of the truth has no box, so that nothing could be found.
    """
    if not picture.truth or not all(picture.truth.values()):
        raise ValueError("A label of the truth has no box: nothing is there to be found, so leave this picture out.")
    return any(
        box is not None and iou(box, true) >= overlap
        for box, label in _first(picture, k)
        for true in picture.truth.get(label, ())
    )


def errors(pictures: Iterable[Located], ks: Sequence[int] = (1, 5), overlap: float = OVERLAP) -> dict[str, Error]:
    """Classification and localisation errors over pictures, by name: "classification top-1", "localisation top-5" ….

    Blacklisted pictures are left out of the localisation errors and only there, as the challenge does.

    Raises:
        ValueError: no picture is left.
    """
    every = list(pictures)
    boxed = [picture for picture in every if not picture.blacklisted]
    found = {}
    for k in ks:
        found[f"classification top-{k}"] = share([not classified(picture, k) for picture in every])
        found[f"localisation top-{k}"] = share([not localised(picture, k, overlap) for picture in boxed])
    return found


def share(outcomes: Sequence[bool]) -> Error:
    """The share of outcomes that are true, with its standard error.

    Raises:
        ValueError: there is none.
    """
    if not len(outcomes):
        raise ValueError("There is no picture to take a share of.")
    p = float(np.mean(outcomes))
    return Error(p, math.sqrt(p * (1 - p) / len(outcomes)), len(outcomes))


def _first(picture: Located, k: int) -> Sequence[tuple[Box | None, Hashable]]:
    if k < 1:
        raise ValueError(f"k is {k}; at least one prediction has to count.")
    return picture.predictions[:k]
