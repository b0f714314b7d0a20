"""Where a unit is strongest: the pictures it lights up in, and patches around the places."""

from __future__ import annotations

from PIL import Image

from mmcam.datasets.concepts import ConceptData
from mmcam.errors import ExplainError, PictureError
from mmcam.neurons.dissection import Dissection

SHARE = 3
"""A patch is one in so many of its picture's shorter side: a few cells of a usual layer, so about what a unit sees."""


def lit(dissection: Dissection, unit: int) -> list[int]:
    """The places in a unit's row of `Dissection.exemplars` that hold a picture in which the unit is active.

    A unit whose peaks are not above its threshold, such as one that is 0 everywhere, has none: the pictures noted for
    it are any, and show nothing of it.

    Raises:
        ExplainError: there is no such unit.
    """
    if not 0 <= unit < dissection.units:
        raise ExplainError(f"There is no unit {unit}; {dissection.layer} has units 0…{dissection.units - 1}.")
    there = (dissection.exemplars[unit] >= 0) & (dissection.peaks[unit] > dissection.thresholds[unit])
    return there.nonzero()[:, 0].tolist()


def patches(dissection: Dissection, data: ConceptData, unit: int, n: int = 3, side: int = 64) -> list[Image.Image]:
    """Squares around a unit's strongest places, one a picture, the strongest first.

    They are a third of the shorter side of their picture, and are moved inside where they would reach over its edge.

    Args:
        dissection: of any layer.
        data: what it was made with.
        unit: channel of the layer, from 0.
        n: how many. There are fewer if the dissection noted fewer pictures, if the unit is not active in so many, or if
            pictures cannot be read; then the next strongest take their place.
        side: of the squares, in pixels, once resized.

    Raises:
        ExplainError: there is no such unit.
    """
    found: list[Image.Image] = []
    for rank in lit(dissection, unit):
        if len(found) >= n:
            break
        try:
            picture = data.picture(int(dissection.exemplars[unit, rank]))
        except PictureError:
            continue
        row, column = dissection.spots[unit, rank].tolist()
        size = max(1, min(picture.size) // SHARE)
        left, top = _start(column, picture.width, size), _start(row, picture.height, size)
        patch = picture.crop((left, top, left + size, top + size))
        found.append(patch.resize((side, side), Image.Resampling.LANCZOS))
    return found


def _start(middle: float, full: int, size: int) -> int:
    """First pixel of `size` in a row around a place, a share of the row; inside the row."""
    return min(max(round(middle * full - size / 2), 0), full - size)
