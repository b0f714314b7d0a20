"""The usual ways in which a picture's vectors follow each other, and which of them explains measured positions best.

One grid; tiles of one size that fill the picture, row by row; and either with a small grid of the whole picture before
or behind. What is rarer (crops, padding) is read off the positions themselves (see `tiles`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcam.adapters.transformers.structure.tiles import Array, Tile, evenly

BITS = 16
"""Of evidence that an order needs, after as many as trying all the others cost."""

_MOST_TILES = 64


def on_lattice(r: Array, c: Array, bands: int) -> list[Tile] | None:
    """The tiles of the order that explains positions best; None if none does so far better than chance.

    Args:
        r, c: where each vector lies, in shares of the picture's sides.
        bands: what positions are measured with.
    """
    orders = [_placed(order, r, c, bands) for order in _orders(len(r))]
    errors = [_error(order, r, c) for order in orders]
    if not errors:
        return None
    least = min(errors)
    best = min((o for o, error in zip(orders, errors, strict=True) if error <= 1.05 * least + 1e-3), key=len)
    count, inside, chance = 0, 0, 0.0
    for tile in best:
        at, (ys, xs) = tile.at, _centres(tile)
        near = [max(0.6 * step, 0.6 / bands) for step in tile.step]
        inside += int(((np.abs(r[at] - ys) <= near[0]) & (np.abs(c[at] - xs) <= near[1])).sum())
        chance += at.size * math.prod(min(1.0, 2 * each) for each in near)
        count += at.size
    share, usual = inside / count, chance / count
    bits = count * _divergence(share, usual) - math.log2(len(orders))
    return best if share >= 0.5 and share > usual and bits >= BITS else None


def _orders(count: int) -> Iterator[list[Tile]]:
    """All that are tried for so many vectors."""
    every = np.arange(count)
    yield from ([_whole(every, h, w)] for h, w in _sides(count))
    for small in range(2, math.isqrt(count) + 1):  # a square one of the whole picture, and another grid
        rest = count - small**2
        for h, w in _sides(rest) if rest >= small**2 else ():
            yield [_whole(every[: small**2], small, small), _whole(every[small**2 :], h, w)]
            yield [_whole(every[:rest], h, w), _whole(every[rest:], small, small)]
    for tiles in range(1, 17):  # each with another vector in front, as a class token
        if count % tiles == 0 and count // tiles > 4:
            own = every.reshape(tiles, -1)[:, 1:].reshape(-1)
            for h, w in _tile_sides(count // tiles - 1):
                yield from _tiled(own, tiles, h, w)
                yield from _with_small(own, tiles - 1, h, w)
    for tiles in range(2, _MOST_TILES + 1):
        if count % tiles == 0:
            for h, w in _tile_sides(count // tiles):
                yield from _tiled(every, tiles, h, w)
                yield from _with_small(every, tiles - 1, h, w)


def _with_small(every: NDArray[np.int64], tiles: int, h: int, w: int) -> Iterator[list[Tile]]:
    """So many tiles, with another of the whole picture before or behind them."""
    if tiles > 1:
        for own in _tiled(every[h * w :], tiles, h, w):
            yield [_whole(every[: h * w], h, w), *own]
        for own in _tiled(every[: -h * w], tiles, h, w):
            yield [*own, _whole(every[-h * w :], h, w)]


def _tile_sides(count: int) -> list[tuple[int, int]]:
    """Those of a tile, which is nearly square."""
    return [(h, w) for h, w in _sides(count) if max(h, w) <= 2 * min(h, w)]


def _placed(order: list[Tile], r: Array, c: Array, bands: int) -> list[Tile]:
    """A single grid where it lies: the middle of the picture may be all that was cut out, or the picture padded."""
    if len(order) > 1:
        return order
    return [evenly(order[0].at, r, c, bands) or order[0]]


def _tiled(at: NDArray[np.int64], tiles: int, h: int, w: int) -> Iterator[list[Tile]]:
    """So many tiles of h×w that fill the picture, in all shapes."""
    for rows in range(1, tiles + 1):
        if tiles % rows:
            continue
        columns = tiles // rows
        yield [
            Tile(
                at[n * h * w : (n + 1) * h * w].reshape(h, w),
                (n // columns / rows, n % columns / columns, (n // columns + 1) / rows, (n % columns + 1) / columns),
            )
            for n in range(tiles)
        ]


def _whole(at: NDArray[np.int64], h: int, w: int) -> Tile:
    return Tile(at.reshape(h, w), (0.0, 0.0, 1.0, 1.0))


def _sides(count: int) -> list[tuple[int, int]]:
    return [(h, count // h) for h in range(2, count // 2 + 1) if count % h == 0]


def _error(order: list[Tile], r: Array, c: Array) -> float:
    """How far vectors lie from where an order has them, on average; a single one counts no more than a quarter."""
    total, count = 0.0, sum(tile.at.size for tile in order)
    for tile in order:
        ys, xs = _centres(tile)
        total += float(
            np.minimum(np.abs(r[tile.at] - ys), 0.25).sum() + np.minimum(np.abs(c[tile.at] - xs), 0.25).sum()
        )
    return total / count


def _centres(tile: Tile) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Where the centres of a tile's rows (h,1) and columns (1,w) lie."""
    (top, left, _, _), (dy, dx), (h, w) = tile.box, tile.step, tile.at.shape
    return top + dy * (np.arange(h)[:, None] + 0.5), left + dx * (np.arange(w)[None] + 0.5)


def _divergence(share: float, chance: float) -> float:
    """Kullback-Leibler divergence of two shares, in bits."""
    total = 0.0
    for p, q in ((share, chance), (1 - share, 1 - chance)):
        total += p * math.log2(p / max(q, 1e-9)) if p > 0 else 0.0
    return total
