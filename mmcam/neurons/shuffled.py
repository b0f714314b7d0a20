"""What fit does chance give? Units compared with the masks of other pictures: a permutation test, as the tally goes on.

A unit that is strongest in the middle shares pixels with whatever stands in the middle of photographs. Whether it has
to do with a concept is told by its fit with the masks that lie in its own pictures, beside that with the same masks
dealt out anew among the pictures (Fisher 1935; the greatest of several tested at once: Westfall & Young 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from mmcam.datasets.concepts import ConceptData, Labels
from mmcam.errors import PictureError
from mmcam.image import Geometry
from mmcam.neurons.tally import at_labels, checked_labels

GRID: Final = 28
"""Masks are compared at so many points a side, which span every picture, whatever its size and shape."""

BLOCK: Final = 256
"""Masks are dealt out among so many pictures that follow each other, so that only their labels are held at once."""

COUNTS: Final = ("shared", "counted", "shown")
"""The tensors of a `Shuffled`."""


class Shuffled:
    """Points that units and concepts share, as the pictures are (row 0) and in each shuffle (a row each).

    Args:
        data: pictures with concepts.
        units: K.
        shuffles: how often the masks are dealt out anew.
        touched: as in `mmcam.neurons.tally.Tally`.
        device: of the activations.
    """

    def __init__(self, data: ConceptData, units: int, shuffles: int, touched: bool, device: torch.device) -> None:
        self.data, self.shuffles, self.touched = data, shuffles, touched
        categories = list(dict.fromkeys(concept.category for concept in data.concepts))
        numbers = torch.tensor([categories.index(concept.category) for concept in data.concepts], device=device)
        self.category = torch.nn.functional.one_hot(numbers, len(categories)).float()  # (L,C)
        rows, concepts = 1 + shuffles, len(data.concepts)
        self.shared = torch.zeros(rows, units, concepts, dtype=torch.int32, device=device)
        self.counted = torch.zeros(rows, units, len(categories), dtype=torch.int32, device=device)
        self.shown = torch.zeros(concepts, dtype=torch.int32, device=device)
        self._block: _Block | None = None

    def add(
        self,
        maps: Tensor,
        thresholds: Tensor,
        where: Sequence[int],
        geometries: Sequence[Geometry],
        skipped: dict[int, str],
    ) -> None:
        """Take in the maps (N,K,h,w) of the pictures `where`; those whose labels cannot be read are left out.

        Raises:
            ExplainError: a picture has a label of no concept.
        """
        cuts = (thresholds + 1e-6 * thresholds.abs())[:, None, None]  # as in the tally
        for each, index, geometry in zip(maps, where, geometries, strict=True):
            block = self._block_of(index, skipped)
            if index not in block.places:
                continue
            own = block.parts[block.places[index]]
            self.shown[own.concepts] += block.masks[:, own.columns].sum(0).int()
            units = (each.amax(dim=(1, 2)) > thresholds).nonzero()[:, 0]
            at = at_labels(geometry, (GRID, GRID))
            seen = at.to_original(torch.ones_like(each[:1])) > 0
            active = ((at.to_original(each[units]) > cuts[units]) & seen).flatten(1).float()
            self._count(units, active, block, block.orders[:, block.places[index]].tolist())

    def _count(self, units: Tensor, active: Tensor, block: _Block, dealt: Sequence[int]) -> None:
        """Count the active points (U,GRID²) of some units in a picture against the masks that each row deals it."""
        area, shared = active.sum(1).int()[:, None], (active @ block.masks).int()
        for row, place in enumerate(dealt):
            part = block.parts[place]
            own = shared[:, part.columns]
            self.shared[row][units[:, None], part.concepts] += own
            carries = (own > 0).float() if self.touched else torch.ones(1, own.shape[1], device=own.device)
            self.counted[row].index_add_(0, units, area * (carries @ self.category[part.concepts] > 0))

    def iou(self, row: int) -> Tensor:
        """(K,L) float64: as the pictures are for row 0, else of a shuffle; as in `Dissection.iou`, on the grid."""
        shared, counted = self.shared[row].double(), self.counted[row].double()
        return shared / (counted @ self.category.double().T + self.shown.double() - shared).clamp(min=1)

    def reached(self) -> Tensor:
        """(K,L): in how many shuffles a unit's best IoU, with whichever concept, is at least its IoU with this one."""
        real = self.iou(0)
        reached = torch.zeros_like(real, dtype=torch.long)
        for row in range(1, 1 + self.shuffles):
            reached += self.iou(row).amax(dim=1, keepdim=True) >= real
        return reached

    def _block_of(self, index: int, skipped: dict[int, str]) -> _Block:
        number = index // BLOCK
        if self._block is None or self._block.number != number:
            self._block = _Block.of(self.data, number, self.shuffles, skipped, self.shown.device)
        return self._block


@dataclass(frozen=True)
class _Part:
    """A picture's columns in `_Block.masks`, and the number of the concept of each."""

    columns: slice
    concepts: Tensor


@dataclass(frozen=True)
class _Block:
    """The masks of pictures that follow each other, and to whom each shuffle deals them.

    Attributes:
        number: of the block.
        places: the place of each picture in it, by its index in the data.
        masks: (GRID²,M) a column for each concept of each picture.
        parts: by place.
        orders: (1+R,n) the place whose masks each row gives to a place; row 0 its own.
    """

    number: int
    places: dict[int, int]
    masks: Tensor
    parts: list[_Part]
    orders: Tensor

    @classmethod
    def of(cls, data: ConceptData, number: int, shuffles: int, skipped: dict[int, str], device: torch.device) -> _Block:
        places: dict[int, int] = {}
        parts: list[_Part] = []
        columns: list[Tensor] = []
        for index in range(number * BLOCK, min((number + 1) * BLOCK, len(data))):
            if index in skipped:
                continue
            try:
                found = points_of(checked_labels(data, index))
            except PictureError:  # the tally notes it, when it is this picture's turn
                continue
            places[index] = len(parts)
            parts.append(
                _Part(
                    slice(len(columns), len(columns) + len(found)),
                    torch.tensor(list(found), dtype=torch.long, device=device) - 1,
                )
            )
            columns += [torch.from_numpy(mask.ravel()) for mask in found.values()]
        masks = torch.stack(columns, 1).to(device).float() if columns else torch.zeros(GRID**2, 0, device=device)
        return cls(number, places, masks, parts, orders(len(parts), shuffles, number))


def points_of(labels: Sequence[Labels]) -> dict[int, np.ndarray]:
    """(GRID,GRID) of every concept of a picture, by its number: whether the points show it."""
    masks: dict[int, np.ndarray] = {}
    for label in labels:
        if isinstance(label, (int, np.integer)):
            points = np.full((GRID, GRID), int(label))
        else:
            height, width = label.shape
            rows, columns = ((np.arange(GRID) + 0.5) * side / GRID for side in (height, width))
            points = np.asarray(label)[np.ix_(rows.astype(int), columns.astype(int))]
        present = [int(label)] if isinstance(label, (int, np.integer)) else np.unique(label).tolist()
        for number in present:
            if number:
                masks[number] = masks.get(number, False) | (points == number)
    return masks


def orders(pictures: int, shuffles: int, seed: int) -> Tensor:
    """(1+shuffles,pictures): the pictures as they are, and in orders drawn at random, each equally likely."""
    chance = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(pictures, generator=chance) for _ in range(shuffles)]
    return torch.stack([torch.arange(pictures), *drawn])
