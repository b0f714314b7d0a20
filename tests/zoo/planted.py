"""Where does a map see what was planted in a constant picture?

All patches of a constant picture are alike, so that whatever changes most when one area is painted over is that area's
cell. Nothing here knows how a layer is laid out: only the map's own rows and columns count.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 1.5
"""Cells between the planted place and the one that is measured, at most."""
WIDE = 2.0
"""Standard deviations of what changes, where it spreads further."""
FINEST = 12
"""Areas a side that are told apart at most; a finer map's cells are taken together."""
DRAWS = 3
"""Noises planted at each place: what one of them does to a corner may be seen a cell further in."""
CONSTANT = 0.3
STRENGTHS = (3.0, 0.1)
"""Of the noise. What is strong may be all that every cell attends to, and what is weak may drown; a place that shows at
either is no accident."""


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels: its first row and column, and its sides."""

    top: int
    left: int
    height: int
    width: int

    @property
    def centre(self) -> tuple[float, float]:
        return self.top + self.height / 2, self.left + self.width / 2


def sides(picture: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Height and width in pixels of a cell, or of several that are taken together."""
    return picture[0] / min(grid[0], FINEST), picture[1] / min(grid[1], FINEST)


def areas(picture: tuple[int, int], grid: tuple[int, int]) -> list[Area]:
    """The four corners and two places off the centre, each as large as a cell."""
    high, wide = sides(picture, grid)
    rows, columns = min(grid[0], FINEST), min(grid[1], FINEST)
    cells = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
    cells += [(rows // 3, 2 * columns // 3), (2 * rows // 3, columns // 4)]
    return [
        Area(round(row * high), round(column * wide), max(1, round(high)), max(1, round(wide)))
        for row, column in dict.fromkeys(cells)
    ]


def constant(size: tuple[int, int, int]) -> Tensor:
    return torch.full(size, CONSTANT)


def planted(size: tuple[int, int, int], area: Area, strength: float) -> list[Tensor]:
    """The constant picture with noise in an area, several times."""
    pictures = [constant(size) for _ in range(DRAWS)]
    for draw, picture in enumerate(pictures):
        noise = torch.randn(size[0], area.height, area.width, generator=torch.Generator().manual_seed(draw))
        picture[:, area.top : area.top + area.height, area.left : area.left + area.width] += strength * noise
    return pictures


@dataclass(frozen=True)
class Seen:
    """Where maps differ: centre, spread and peak, in rows and columns (centres of cells are halves)."""

    row: float
    column: float
    rows: float
    columns: float
    peak: tuple[float, float]


def measured(maps: Tensor) -> list[Seen | None]:
    """Where each area is seen, None if nowhere in particular.

    What the same noise changes wherever it stands, as by a global pooling or a gate, is no place: maps are compared
    with the median of those of all areas. Seen is what differs by more than a quarter of what differs by most.

    Args:
        maps: (areas, draws, K, h, w).
    """
    difference = maps.double() - maps.double().median(0).values
    energy = difference.square().sum((1, 2))
    least = 1e-10 * maps.double().square().sum(2).mean()
    return [None if each.max() <= least else _seen(each - each.median()) for each in energy]


def _seen(energy: Tensor) -> Seen:
    """Centre and spread of an energy (h,w)."""
    weights = torch.where(energy > energy.max() / 4, energy, 0).square()
    row, rows = _moments(weights.sum(1))
    column, columns = _moments(weights.sum(0))
    high, wide = divmod(int(energy.argmax()), energy.shape[1])
    return Seen(row, column, rows, columns, (high + 0.5, wide + 0.5))


def _moments(weights: Tensor) -> tuple[float, float]:
    """Mean place and its standard deviation, in cells."""
    share, places = weights / weights.sum(), torch.arange(len(weights)) + 0.5
    centre = (share * places).sum()
    return float(centre), float((share * (places - centre).square()).sum().sqrt())


def misplaced(read: Callable[[list[Tensor]], list[Tensor]], size: tuple[int, int, int]) -> str:
    """What is wrong with where the cells of a map lie; "" if every planted area is seen at its place.

    Args:
        read: pictures (C,H,W) → the activations (K,h,w) of each one's map.
        size: of the pictures.
    """
    picture, grid = (size[1], size[2]), tuple(read([constant(size)])[0].shape[1:])
    left = areas(picture, grid)
    faults = [""] * len(left)
    for strength in STRENGTHS:
        maps = torch.stack(read([each for area in areas(picture, grid) for each in planted(size, area, strength)]))
        seen = dict(zip(areas(picture, grid), measured(maps.unflatten(0, (-1, DRAWS))), strict=True))
        faults = [_fault(area, seen[area], picture, grid) for area in left]
        left = [area for area, fault in zip(left, faults, strict=True) if fault]
        if not left:
            return ""
    return next(fault for fault in faults if fault)


def _fault(area: Area, seen: Seen | None, picture: tuple[int, int], grid: tuple[int, ...]) -> str:
    there, where = f"planted at pixel {area.centre}", f"{grid[0]}×{grid[1]} cells"
    if seen is None:
        return f"{there}, seen nowhere in {where}"
    cell, least = (picture[0] / grid[0], picture[1] / grid[1]), sides(picture, (grid[0], grid[1]))
    near = NEAR * least[0], NEAR * least[1]
    # Dilated kernels are seen at several places, of which the strongest is the right one.
    if _close((seen.peak[0] * cell[0], seen.peak[1] * cell[1]), area, near, picture):
        return ""
    if max(seen.rows / grid[0], seen.columns / grid[1]) > 1 / 4:
        return f"{there}, seen all over {where}"
    # A cell that looks at many others' pixels is changed from as far away; at a border only from within.
    wide = max(near[0], WIDE * seen.rows * cell[0]), max(near[1], WIDE * seen.columns * cell[1])
    row, column = seen.row * cell[0], seen.column * cell[1]
    return (
        "" if _close((row, column), area, wide, picture) else f"{there}, seen at ({row:.0f}, {column:.0f}) of {where}"
    )


def _close(at: tuple[float, float], area: Area, near: tuple[float, float], picture: tuple[int, int]) -> bool:
    """Whether a pixel is near an area's centre; where there are few cells, none is near that is two fifths away."""
    return all(
        abs(one - other) <= min(bound, 2 * side / 5)
        for one, other, bound, side in zip(at, area.centre, near, picture, strict=True)
    )
