"""Tiles of vectors, read off the positions that were measured: lines from left to right, tiles from top to bottom."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Tile:
    """Vectors that lie on a grid.

    Attributes:
        at: which vectors (h, w), row by row.
        box: (top, left, bottom, right) in shares of the picture's sides.
    """

    at: Numbers
    box: tuple[float, float, float, float]

    @property
    def step(self) -> tuple[float, float]:
        """Height and width of a cell."""
        (top, left, bottom, right), (h, w) = self.box, self.at.shape
        return (bottom - top) / h, (right - left) / w


def tiles_along(r: Array, c: Array, bands: int) -> list[Tile]:
    """Vectors as tiles, one after the other: each the largest that begins where the last one ends.

    Args:
        r, c: where each vector lies; NaN where that is not known.
        bands: what positions are measured with.
    """
    breaks = _breaks(r, c, bands)
    tiles, start = list[Tile](), 0
    while start < len(r):
        ends = breaks[breaks > start][:4]
        widths = {int(b - a) for a, b in zip(np.array([start, *ends]), ends, strict=False)}
        each = [tile for width in sorted(widths) if width > 1 and (tile := _largest(start, width, r, c, bands))]
        best = max(each, key=lambda tile: tile.at.size, default=None)
        tiles += [best] if best else []
        start += best.at.size if best else 1
    return tiles


def _breaks(r: Array, c: Array, bands: int) -> Numbers:
    """Where lines of vectors begin: to the left of the last vector, or, in the tile beside, far above it."""
    found, line = list[int](), list[int]()
    for p in np.nonzero(~np.isnan(r))[0].tolist():
        if line:
            own = c[line]
            falls = own[-1] - c[p] > max(0.6 / bands, 0.35 * (own.max() - own.min()))
            if falls or np.median(r[line]) - r[p] > 2.4 / bands:
                found.append(p)
                line = []
        line.append(p)
    return np.array([*found, len(r)])


def _largest(start: int, w: int, r: Array, c: Array, bands: int) -> Tile | None:
    """The largest tile of a width that begins at a vector; None if there is none of two rows."""
    most = (len(r) - start) // w
    at = np.arange(start, start + most * w).reshape(most, w)
    along = _median(r[at], 1)
    h, column = 1, _median(c[at[:2]], 0)
    near = max(0.8 / bands, 0.4 * float(np.nanmax(column) - np.nanmin(column)) / (w - 1)) if w > 1 else 1.0
    while h < most:
        step = max((along[h - 1] - along[0]) / max(1, h - 1), 0)
        falls = along[h] < along[h - 1] - max(0.4 / bands, 0.4 * step)
        leaps = h > 1 and along[h] > along[0] + h * step + max(1.2 / bands, 0.8 * step)
        if falls or leaps or _median(np.abs(c[at[h]] - column), 0) > near:
            break
        h += 1
    while h > 1:
        if (tile := evenly(at[:h], r, c, bands)) is not None:
            return tile
        h -= 1
    return None


def evenly(at: Numbers, r: Array, c: Array, bands: int) -> Tile | None:
    """Some lines (h,w) as a tile; None if they do not lie evenly."""
    edges = []
    for axis, position in ((0, r), (1, c)):
        own = _median(position[at], 1 - axis)
        there = ~np.isnan(own)
        if there.sum() < 2:
            return None
        step, start = np.polyfit(np.arange(len(own))[there], own[there], 1)
        along = start + step * np.arange(len(own))
        off = np.abs(position[at] - (along[:, None] if axis == 0 else along[None]))
        off = off[~np.isnan(off)]
        if step <= 0 or np.mean(off <= max(0.6 * step, 0.6 / bands)) < 0.85:
            return None
        edges.append(_snapped(start - step / 2, start + (len(own) - 0.5) * step, max(0.35 * step, 0.6 / bands)))
    (top, bottom), (left, right) = edges
    return Tile(at, (top, left, bottom, right))


def _median(values: Array, axis: int) -> Array:
    """Without the numbers that are none; NaN where there is no other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis))


def _snapped(low: float, high: float, near: float) -> tuple[float, float]:
    """Edges on the picture's own, or on those of as many equal parts as fill it, where they are that near."""
    parts = max(1, round(1 / max(high - low, 1e-6)))
    if all(abs(edge * parts - round(edge * parts)) / parts <= near for edge in (low, high)):
        return round(low * parts) / parts, round(high * parts) / parts
    return (0.0 if abs(low) <= near else low), (1.0 if abs(high - 1) <= near else high)
