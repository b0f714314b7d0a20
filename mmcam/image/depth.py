"""How bright the numbers of a picture are meant to be: the depth of integers in wider types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcam.errors import PictureError

NOT_FINITE = "The picture holds NaN or infinite values; pass finite ones."

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras, scanners and microscopes give, in 16-bit files as they come."""


def to_bytes(array: NDArray[Any], bits: int | None = None) -> tuple[NDArray[np.uint8], str]:
    """The values of a picture as 8 bits, and a sentence where their depth was read off them; else "".

    Bytes stay. Floats in 0..1 are a share of white, and other numbers up to 255 count as bytes. Above that, and for all
    of uint16, white is the greatest number of the smallest depth of 8, 10, 12, 14 or 16 bits that holds the greatest
    value: a 12-bit picture kept in 16 bits would else be black.

    Args:
        array: any shape.
        bits: the depth, where the file says it.

    Raises:
        PictureError: no numbers, not finite, negative or above 65535.
    """
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array), ""
    if array.dtype.kind not in "iuf":
        raise PictureError(f"An array of {array.dtype} is no picture; pass uint8, or floats in 0..1.")
    if not np.isfinite(array).all():
        raise PictureError(NOT_FINITE)
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 65535:
        raise PictureError(
            f"The values of the array ({array.dtype}, {low:g} to {high:g}) are no picture's; pass uint8, or floats in "
            "0..1."
        )
    if array.dtype.kind == "f" and high <= 1:
        return (array * 255).round().astype(np.uint8), ""
    if array.dtype.kind == "f" and high < 2 and not (array == array.round()).all():
        raise PictureError(f"The values of the array end at {high:g}, neither 1 nor 255; pass floats in 0..1.")
    if high <= 255 and not (array.dtype.kind == "u" and array.dtype.itemsize == 2):
        return array.round().astype(np.uint8), ""
    depth = bits or next(bits for bits in _DEPTHS if high < 2**bits)
    note = f"The picture's values end at {high:g}, so they are read as {depth} bits."
    return _scaled(array, 2**depth - 1), note if bits is None and depth < 16 and high > 0 else ""


def _scaled(array: NDArray[Any], white: int) -> NDArray[np.uint8]:
    if array.dtype.kind == "f":
        return (array * (255 / white)).round().clip(0, 255).astype(np.uint8)
    # Whole numbers, so that nothing hangs on the rounding of a quotient; 65535 · 510 fits 32 bits.
    return np.minimum((array.astype(np.uint32) * 510 + white) // (2 * white), 255).astype(np.uint8)
