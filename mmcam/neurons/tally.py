"""Count how many pixels a layer's units share with each concept, and note where each unit is strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.datasets.concepts import ConceptData, Labels
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Geometry

TALLIES = ("both", "active", "truth", "exemplars", "spots", "peaks")
"""The tensors of a `Tally`, named as in `mmcam.neurons.dissection.Dissection`."""


class Tally:
    """Counts of pixels, and each unit's strongest places, on the device of the activations."""

    def __init__(self, data: ConceptData, units: int, exemplars: int, touched: bool, device: torch.device) -> None:
        self.data, self.touched = data, touched
        names = list(dict.fromkeys(concept.category for concept in data.concepts))
        self.category = torch.tensor([names.index(concept.category) for concept in data.concepts], device=device)
        self.both = torch.zeros(units, len(data.concepts), dtype=torch.long, device=device)
        self.active = torch.zeros(units, len(names), dtype=torch.long, device=device)
        self.truth = torch.zeros(len(data.concepts), dtype=torch.long, device=device)
        self.exemplars = torch.full((units, exemplars), -1, device=device)
        self.spots = torch.zeros(units, exemplars, 2, device=device)
        self.peaks = torch.full((units, exemplars), -torch.inf, device=device)

    def add(
        self,
        maps: Tensor,
        thresholds: Tensor,
        where: Sequence[int],
        geometries: Sequence[Geometry],
        skipped: dict[int, str],
    ) -> None:
        """Take in the maps (N,K,h,w) of the pictures `where`.

        Raises:
            ExplainError: a picture has a label of no concept.
        """
        # A saturated unit equals its threshold over some area; rounding while it is enlarged must not lift it above.
        cuts = (thresholds + 1e-6 * thresholds.abs())[:, None, None]
        for i, (index, geometry) in enumerate(zip(where, geometries, strict=True)):
            try:
                labels = checked_labels(self.data, index)
            except PictureError as error:
                skipped[index] = str(error)
                continue
            # Bilinear sampling exceeds no maximum: the other units, nearly all, are active nowhere here.
            units = (maps[i].amax(dim=(1, 2)) > thresholds).nonzero()[:, 0]
            for size, layers in _by_size(labels, geometry).items():
                at = at_labels(geometry, size)
                seen = at.to_original(torch.ones_like(maps[i, :1])) > 0
                self._count(units, (at.to_original(maps[i, units]) > cuts[units]) & seen, layers)
            self._note(maps[i], geometry, index)

    def _count(self, units: Tensor, active: Tensor, layers: list[Labels]) -> None:
        """Count the active pixels (U,H,W) of some units in a picture against its labels."""
        pixels = active.flatten(1).float()  # sums below 2^24 are exact in float32
        each, area = pixels.sum(1).long(), pixels.shape[1]
        counts = torch.zeros(len(units), self.active.shape[1], dtype=torch.bool, device=each.device)  # by category
        for labels in layers:
            if isinstance(labels, (int, np.integer)):
                if not labels:
                    continue
                concepts, shared = torch.tensor([int(labels) - 1], device=each.device), each[:, None]
                sizes = torch.tensor([area], device=each.device)
            else:
                numbers = torch.from_numpy(np.asarray(labels, np.int64)).to(pixels.device).flatten()
                present, place, sizes = torch.unique(numbers, return_inverse=True, return_counts=True)
                found = present > 0
                one_hot = torch.zeros(area, len(present), device=pixels.device).scatter_(1, place[:, None], 1.0)
                concepts, shared, sizes = present[found] - 1, (pixels @ one_hot[:, found]).long(), sizes[found]
            self.both[units[:, None], concepts] += shared
            self.truth[concepts] += sizes
            categories = self.category[concepts]
            if self.touched:
                for category, touches in zip(categories.tolist(), (shared > 0).T, strict=True):
                    counts[:, category] |= touches
            else:
                counts[:, categories] = True
        self.active[units] += each[:, None] * counts

    def _note(self, maps: Tensor, geometry: Geometry, index: int) -> None:
        """Keep each unit's strongest places, one a picture."""
        values, at = maps.flatten(1).max(dim=1)
        h, w = maps.shape[1:]
        cells = torch.stack([(at // w + 0.5) / h, (at % w + 0.5) / w], dim=-1)
        inputs, offset, scale, full = (
            torch.tensor(pair, device=maps.device, dtype=torch.float32)
            for pair in (geometry.input, geometry.offset, geometry.scale, geometry.original)
        )
        spots = ((cells * inputs - offset) / scale / full).clamp(0, 1)
        keep = self.peaks.shape[1]
        self.peaks, order = torch.cat([self.peaks, values[:, None]], dim=1).topk(keep, dim=1)
        pictures = nn.functional.pad(self.exemplars, (0, 1), value=index)
        self.exemplars = pictures.gather(1, order)
        places = torch.cat([self.spots, spots[:, None]], dim=1)
        self.spots = places.gather(1, order[:, :, None].expand(-1, -1, 2))


def checked_labels(data: ConceptData, index: int) -> Sequence[Labels]:
    """The labels of a picture.

    Raises:
        PictureError: they cannot be read.
        ExplainError: one is of no concept.
    """
    labels = data.labels(index)
    if (most := max((int(np.max(label)) for label in labels), default=0)) > len(data.concepts):
        raise ExplainError(
            f"Picture {index} of {data.name} has label {most}, and there are {len(data.concepts)} concepts."
        )
    return labels


def _by_size(labels: Sequence[Labels], geometry: Geometry) -> dict[tuple[int, int], list[Labels]]:
    """Label maps by their resolution; labels of the whole picture go with the first, or half the picture's own."""
    sizes: dict[tuple[int, int], list[Labels]] = {}
    whole = [label for label in labels if isinstance(label, (int, np.integer))]
    for label in labels:
        if not isinstance(label, (int, np.integer)):
            sizes.setdefault((label.shape[0], label.shape[1]), []).append(label)
    if whole:
        half = ((geometry.original[0] + 1) // 2, (geometry.original[1] + 1) // 2)
        sizes.setdefault(next(iter(sizes), half), []).extend(whole)
    return sizes


def at_labels(geometry: Geometry, size: tuple[int, int]) -> Geometry:
    """The geometry of the same picture, were its pixels those of a label map that spans it."""
    smaller = tuple(full / part for full, part in zip(geometry.original, size, strict=True))
    return replace(geometry, original=size, scale=(geometry.scale[0] * smaller[0], geometry.scale[1] * smaller[1]))
