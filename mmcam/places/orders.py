"""The orders in which the cells of a map may be kept, one place after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mmcam.engine.layer import Size

Order = NDArray[np.intp]
"""(h·w): the cell, counted row by row, that each place in turn holds."""


def row_by_row(h: int, w: int) -> Order:
    """0, 1, 2, …"""
    return np.arange(h * w)


def turned(h: int, w: int) -> Iterator[Order]:
    """Row by row, turned over one side, the other, or both."""
    grid = row_by_row(h, w).reshape(h, w)
    for one in (grid[::-1], grid[:, ::-1], grid[::-1, ::-1]):
        yield one.ravel()


def transposed(h: int, w: int) -> Iterator[Order]:
    """Column by column, as it is, turned over one side, the other, or both."""
    for order in (row_by_row(h, w), *turned(h, w)):
        yield order.reshape(h, w).T.ravel()


def windowed(h: int, w: int) -> Iterator[Order]:
    """Windows of a·b cells one after the other; the first cells of all windows, then the second ones; both shifted."""
    grid = row_by_row(h, w).reshape(h, w)
    for a in _divisors(h):
        for b in _divisors(w):
            if 1 < a * b < h * w:
                for shifted in (grid, np.roll(grid, (-(a // 2), -(b // 2)), (0, 1))):
                    windows = shifted.reshape(h // a, a, w // b, b)
                    yield windows.transpose(0, 2, 1, 3).ravel()
                    yield windows.transpose(1, 3, 0, 2).ravel()


def nested(h: int, w: int) -> Iterator[Order]:
    """2×2 windows in 2×2 windows, some levels deep, as mask units are unrolled: from inside out or outside in."""
    grid = row_by_row(h, w)[None].reshape(1, h, w)
    inside: NDArray[np.intp] = grid
    levels = 0
    while inside.shape[-2] % 2 == 0 and inside.shape[-1] % 2 == 0:
        high, wide = inside.shape[-2] // 2, inside.shape[-1] // 2
        # (…, Y, y, X, x) → (…, 2·y + x, Y, X): the finest level first
        split = inside.reshape(*inside.shape[:-2], high, 2, wide, 2)
        inside = np.moveaxis(split, (-3, -1), (-4, -3)).reshape(*inside.shape[:-2], 4, high, wide)
        levels += 1
        if levels < 2 or inside.size == 4**levels:
            continue
        units = inside.reshape(*[4] * levels, high * wide)
        yield units.ravel()  # within the unit first, the finest level slowest
        yield units.transpose(*reversed(range(levels)), levels).ravel()
        yield units.transpose(levels, *range(levels)).ravel()
        yield units.transpose(levels, *reversed(range(levels))).ravel()


@lru_cache(maxsize=16)
def others(h: int, w: int) -> tuple[Order, ...]:
    """All orders but row by row, each once."""
    every = chain(turned(h, w), transposed(h, w), windowed(h, w), nested(h, w))
    distinct = {order.tobytes(): order for order in every}
    distinct.pop(row_by_row(h, w).tobytes(), None)
    return tuple(distinct.values())


def grids(places: int, picture: Size) -> list[Size]:
    """The grids of at most so many cells: of square patches of the picture, or of any kind that leaves few places over.

    A model that resizes inside may have square grids or any other proportions, whatever the picture's.
    """
    height, width = picture
    found: dict[Size, None] = {}
    for h in range(2, places // 2 + 1):
        exact = h * width / height
        wide = {int(exact), round(exact), int(exact) + 1, h if places - h * h <= 16 else 0}
        wide.update(w for n in range(places - 2, places + 1) if n % h == 0 for w in (n // h,))
        found.update({(h, w): None for w in sorted(wide) if w > 1 and h * w <= places})
    return list(found)


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
