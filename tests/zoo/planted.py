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
FINEST = 12
"""Areas a side that are told apart at most; a finer map's cells are taken together."""
DRAWS = 3
"""Noises planted at each place: what one of them does to a corner may be seen a cell further in."""
CONSTANT = 0.3


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


def planted(size: tuple[int, int, int], area: Area) -> list[Tensor]:
    """The constant picture with strong noise in an area, several times."""
    pictures = [constant(size) for _ in range(DRAWS)]
    for draw, picture in enumerate(pictures):
        noise = 3 * torch.randn(size[0], area.height, area.width, generator=torch.Generator().manual_seed(draw))
        picture[:, area.top : area.top + area.height, area.left : area.left + area.width] = noise
    return pictures


def measured(plain: Tensor, changed: list[Tensor]) -> tuple[float, float] | None:
    """Row and column (centres of cells are halves) where maps (K,h,w) differ most; None if nowhere in particular.

    What changes at every cell alike, as by a global pooling, is no place: the median over cells is taken off.
    """
    difference = torch.stack(changed).double() - plain.double()
    difference = difference - difference.flatten(2).median(2).values[:, :, None, None]
    energy = difference.square().sum((0, 1))
    energy = (energy - energy.median()).clamp(min=0)
    scale = torch.stack([plain, *changed]).double().square().sum(1).mean()
    if energy.max() <= 1e-10 * scale:
        return None
    h, w = energy.shape
    row, column = divmod(int(energy.argmax()), w)
    near = torch.zeros_like(energy)
    near[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 1
    weights = energy * near / (energy * near).sum()
    centre_row = float((weights.sum(1) * (torch.arange(h) + 0.5)).sum())
    return centre_row, float((weights.sum(0) * (torch.arange(w) + 0.5)).sum())


def misplaced(read: Callable[[list[Tensor]], list[Tensor]], size: tuple[int, int, int]) -> str:
    """What is wrong with where the cells of a map lie; "" if every planted area is seen at its place.

    Args:
        read: pictures (C,H,W) → the activations (K,h,w) of each one's map.
        size: of the pictures.
    """
    (plain,) = read([constant(size)])
    picture, grid = (size[1], size[2]), (plain.shape[1], plain.shape[2])
    high, wide = sides(picture, grid)
    for area in areas(picture, grid):
        seen = measured(plain, read(planted(size, area)))
        there = f"planted at pixel {area.centre}"
        if seen is None:
            return f"{there}, seen nowhere in {grid[0]}×{grid[1]} cells"
        row, column = seen[0] * picture[0] / grid[0], seen[1] * picture[1] / grid[1]
        away = max(abs(row - area.centre[0]) / high, abs(column - area.centre[1]) / wide)
        if away > NEAR:
            return f"{there}, seen at ({row:.0f}, {column:.0f}), {away:.1f} cells away of {grid[0]}×{grid[1]}"
    return ""
