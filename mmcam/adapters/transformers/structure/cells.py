"""Where in the original picture each of a model's vectors lies: measured, whatever the model does with tiles.

Bands of rows and of columns of a grey picture are filled with noise, one band at a time, and every vector is asked
which bands it answers to. Vectors run row by row, tile by tile, in all models; so lines, then tiles are read off the
positions, and a tile is believed if its rows and columns lie on a straight line. Vectors that answer to no band (of
line breaks, padding and separators) are no cells. Tiles that show the same part of the picture, as a thumbnail and its
details do, are levels: a map has the channels of every level at every cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.adapters.transformers.structure.lattice import on_lattice
from mmcam.adapters.transformers.structure.tiles import Array, Numbers, Tile, tiles_along
from mmcam.engine.layer import Grid, Size
from mmcam.errors import ExplainError

TRIALS = ((16, 32), (16, 16), (32, 64))
"""Bands of rows and of columns, and blocks of noise along a side; the next ones if the first do not tell."""

_GREY = 128
_SURE = 0.3  # of what a vector answers to, this share has to lie at one place
_STRONG = 0.25  # of the strongest band, what belongs to its place

Answers = tuple[Array, Array]
"""How strongly each vector answers to each band (bands, P) of rows, and of columns."""


@dataclass(frozen=True)
class Cells:
    """A map over the picture, and which vector each of its cells is.

    Attributes:
        h, w: of the map.
        levels: for each level the vector of each cell (h·w,), row by row; -1: none.
        vectors: how many there are.
        tiles: they were read off.
    """

    h: int
    w: int
    levels: Sequence[Tensor]
    vectors: int
    tiles: Sequence[Tile] = ()

    @property
    def form(self) -> str:
        """In words."""
        more = f", {len(self.levels)} levels" if len(self.levels) > 1 else ""
        tiles = f" of {len(self.tiles)} tiles" if len(self.tiles) > 1 else ""
        return f"{self.h}×{self.w}{tiles}{more}"

    def grid(self) -> Grid:
        """How vectors (N,P,K) are read as a map (N,K·levels,h,w) and written back: each is the mean of its cells."""
        there = [(at >= 0).nonzero()[:, 0] for at in self.levels]

        def read(t: Tensor) -> Tensor:
            maps = []
            for at, cells in zip(self.levels, there, strict=True):
                full = t.new_zeros(len(t), self.h * self.w, t.shape[2])
                maps.append(full.index_copy(1, cells.to(t.device), t[:, at[cells].to(t.device)]))
            return torch.unflatten(torch.cat(maps, 2).transpose(1, 2), 2, (self.h, self.w))

        def write(t: Tensor, new: Tensor) -> Tensor:
            rows = t.repeat(len(new) // len(t), 1, 1)
            for at, cells, own in zip(
                self.levels, there, new.flatten(2).transpose(1, 2).split(t.shape[2], 2), strict=True
            ):
                index, counts = at[cells].unique(return_counts=True)
                own = own[:, cells.to(t.device)]
                if bool((counts > 1).any()):
                    order = torch.searchsorted(index, at[cells]).to(t.device)
                    share = (1 / counts)[:, None].to(own)
                    own = own.new_zeros(len(own), len(index), own.shape[2]).index_add(1, order, own) * share
                else:
                    own = own[:, at[cells].argsort().to(t.device)]
                rows = rows.index_copy(1, index.to(t.device), own.to(t.dtype))
            return rows

        return Grid(read, write, self.form)


def measure_cells(vectors_of: Callable[[Image.Image], Tensor], size: Size) -> Cells:
    """Measure where vectors lie.

    Args:
        vectors_of: from a picture to its vectors (P,K), always as many.
        size: (H,W) of the pictures.

    Raises:
        ExplainError: they answer to no place, or do not lie row by row.
    """
    problem, known = "", dict[int, Answers]()
    for bands, blocks in TRIALS:
        bands = min(bands, *size)
        own = _answers(vectors_of, size, bands, blocks)
        before = known.get(bands)
        known[bands] = own if before is None else (before[0] + own[0], before[1] + own[1])
        found = cells_of(*known[bands])
        if isinstance(found, Cells):
            return found
        problem = found
    raise ExplainError(problem)


def _answers(vectors_of: Callable[[Image.Image], Tensor], size: Size, bands: int, blocks: int) -> Answers:
    """How strongly each vector answers to each band of rows, and of columns."""
    noise = _noise(size, blocks)
    base = np.full((*size, 3), _GREY, dtype=np.uint8)
    plain = vectors_of(Image.fromarray(base)).float()
    energies: list[list[Array]] = [[], []]
    for axis in (0, 1):
        edges = [round(g * size[axis] / bands) for g in range(bands + 1)]
        for start, end in pairwise(edges):
            painted = base.copy()
            part = (slice(start, end), slice(None)) if axis == 0 else (slice(None), slice(start, end))
            painted[part] = noise[part]
            change = vectors_of(Image.fromarray(painted)).float() - plain
            # What all vectors share tells no place: attention hands it on to every one of them.
            change = change - change.median(0).values
            energies[axis].append((change**2).sum(1).double().cpu().numpy())
    return np.stack(energies[0]), np.stack(energies[1])


def noise_picture(size: Size) -> Image.Image:
    """A picture of nothing but noise."""
    return Image.fromarray(_noise(size, 32))


def _noise(size: Size, blocks: int) -> NDArray[np.uint8]:
    """In blocks, because finer noise becomes grey again when the picture is made smaller."""
    counts = [min(blocks, side) for side in size]
    coarse = np.random.default_rng(blocks).integers(0, 2, (*counts, 3), dtype=np.uint8)
    rows, columns = (np.arange(side) * count // side for side, count in zip(size, counts, strict=True))
    return 255 * coarse[rows][:, columns]


def cells_of(rows: Array, columns: Array) -> Cells | str:
    """The cells from what vectors answer to (bands, P) of rows and of columns; or what is wrong with them."""
    bands, vectors = rows.shape
    (r, sure), (c, too) = _positions(rows), _positions(columns)
    found = on_lattice(r, c, bands)
    if found is not None:
        return _joined(found, vectors)
    known = sure & too
    if known.sum() < 6 or known.mean() < 0.5:
        return f"of {vectors} vectors only {known.sum()} answer to a place in the picture"
    found = tiles_along(np.where(known, r, np.nan), np.where(known, c, np.nan), bands)
    laid = sum(int(known[tile.at].sum()) for tile in found)
    if laid < 0.9 * known.sum():
        return f"of {known.sum()} vectors that answer to a place in the picture only {laid} lie row by row"
    return _joined(found, vectors)


def _positions(energies: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Where vectors lie along an axis, in shares of the picture, and whether that is sure."""
    bands = len(energies)
    each = np.arange(bands)[:, None]
    above = np.clip(energies - np.quantile(energies, 0.3, axis=1, keepdims=True), 0, None)
    top, peak = above.max(0), above.argmax(0)
    strong = above >= _STRONG * top
    before = np.where(~strong & (each < peak), each, -1).max(0)
    after = np.where(~strong & (each > peak), each, bands).min(0)
    inside = (each > before) & (each < after)
    weight = above * inside
    total = np.maximum(weight.sum(0), 1e-30)
    centre = ((each + 0.5) * weight).sum(0) / total / bands
    share = weight.sum(0) / np.maximum(energies.sum(0), 1e-30)
    reach = inside.sum(0) / bands
    return centre, (top > 0) & (share >= _SURE) & (reach <= 0.75)


def _joined(tiles: Sequence[Tile], vectors: int) -> Cells | str:
    levels: list[list[Tile]] = []
    for tile in tiles:
        own = next((level for level in levels if all(_beside(tile, other) for other in level)), None)
        if own is None:
            levels.append([tile])
        else:
            own.append(tile)
    finest = min(levels, key=lambda level: level[0].step[0] * level[0].step[1])
    h, w = (_cells_along(finest, axis) for axis in (0, 1))
    if any(_off(finest, axis, count) > 0.2 for axis, count in ((0, h), (1, w))):
        h, w = 2 * h, 2 * w
    for more in (1, 2, 4):
        maps = [_vectors_at(level, h * more, w * more) for level in levels]
        if all(np.isin(tile.at, own).all() for own, level in zip(maps, levels, strict=True) for tile in level):
            return Cells(h * more, w * more, [torch.from_numpy(own) for own in maps], vectors, tiles)
    return "its tiles lie over each other in a way that no grid of cells shows"


def _beside(tile: Tile, other: Tile) -> bool:
    """Whether two tiles have cells of one size and lie beside each other."""
    alike = all(abs(a / b - 1) < 0.25 for a, b in zip(tile.step, other.step, strict=True))
    over = [min(tile.box[axis + 2], other.box[axis + 2]) - max(tile.box[axis], other.box[axis]) for axis in (0, 1)]
    return alike and any(part < 0.5 * step for part, step in zip(over, tile.step, strict=True))


def _cells_along(level: Sequence[Tile], axis: int) -> int:
    """Cells of the whole picture's side, as large as a level's."""
    step = float(np.median([tile.step[axis] for tile in level]))
    starts = {round(tile.box[axis] / step): tile.at.shape[axis] for tile in level}
    whole = abs(min(t.box[axis] for t in level)) < 1e-6 and abs(max(t.box[axis + 2] for t in level) - 1) < 1e-6
    count = sum(starts.values())
    return count if whole and abs(count * step - 1) < 0.1 else max(1, round(1 / step))


def _off(level: Sequence[Tile], axis: int, count: int) -> float:
    """How far the tiles' edges lie from those of the cells, in cells."""
    edges = np.array([[tile.box[axis], tile.box[axis + 2]] for tile in level]) * count
    return float(np.abs(edges - np.round(edges)).max())


def _vectors_at(level: Sequence[Tile], h: int, w: int) -> Numbers:
    """The vector of each cell (h·w,) by its centre; -1: none."""
    at = np.full((h, w), -1, dtype=np.int64)
    centres = [(np.arange(count) + 0.5) / count for count in (h, w)]
    for tile in level:
        inside = []
        for axis in (0, 1):
            place = (centres[axis] - tile.box[axis]) / tile.step[axis]
            inside.append(np.where((place >= -0.2) & (place < tile.at.shape[axis] + 0.2), np.floor(place), -9))
        (ys, xs) = (np.nonzero(own > -9)[0] for own in inside)
        rows, columns = (
            np.clip(own[own > -9], 0, tile.at.shape[axis] - 1).astype(np.int64) for axis, own in enumerate(inside)
        )
        free = at[np.ix_(ys, xs)] < 0
        at[np.ix_(ys, xs)] = np.where(free, tile.at[np.ix_(rows, columns)], at[np.ix_(ys, xs)])
    return at.reshape(-1)
