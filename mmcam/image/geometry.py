"""Where the pixels of a picture lie in a model's input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BAND = 2**19
"""Pixels of a picture that are worked on at a time."""


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a picture lie in a model's input: ``input = scale · original + offset``, per axis.

    Sizes are (height, width) in pixels; positions are continuous, pixel centres at ``i + 0.5``.
    """

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def to_original(self, maps: Tensor) -> Tensor:
        """Sample maps over the model's input at the pixels of the original picture.

        Bilinear with pixel centres (the rule of ``cv2.resize`` and of ``F.interpolate(align_corners=False)``), so a
        resized picture gets exactly ``F.interpolate(maps, original)``; what a crop never showed to the model gets 0.

        Args:
            maps: (..., h, w), any resolution, spanning the whole input.

        Returns:
            (..., H, W) float32 over the original picture.
        """
        h, w = maps.shape[-2:]
        flat = maps.detach().float().reshape(1, -1, h, w)
        ys, xs = (self._input_positions(axis, maps.device) for axis in (0, 1))
        whole = torch.empty(flat.shape[1], *self.original, device=maps.device)
        # In bands of rows: the positions of all pixels at once are twice as large as a map.
        rows = max(1, BAND // self.original[1])
        for band, part in zip(whole.split(rows, dim=1), ys.split(rows), strict=True):
            grid = torch.stack(torch.meshgrid(2 * part - 1, 2 * xs - 1, indexing="ij")[::-1], dim=-1)
            sampled = F.grid_sample(flat, grid[None].float(), padding_mode="border", align_corners=False)[0]
            seen = ((part >= 0) & (part <= 1))[:, None] & ((xs >= 0) & (xs <= 1))
            torch.mul(sampled, seen, out=band)
        return whole.reshape(*maps.shape[:-2], *self.original)

    def shown(self) -> tuple[int, int, int, int]:
        """What the model was shown: (left, top, right, bottom) in the picture's pixels, right and bottom exclusive.

        Outside of it `to_original` gives 0; a crop leaves something out, padding does not.
        """
        edges = []
        for axis in (1, 0):
            positions = self._input_positions(axis, torch.device("cpu"))
            inside = ((positions >= 0) & (positions <= 1)).nonzero()[:, 0].tolist()
            edges.append((inside[0], inside[-1] + 1) if inside else (0, 0))
        (left, right), (top, bottom) = edges
        return left, top, right, bottom

    def resized(self, height: int, width: int) -> Geometry:
        """Where the pixels of the same picture lie once it has been resized."""
        scale = (self.scale[0] * self.original[0] / height, self.scale[1] * self.original[1] / width)
        return Geometry((height, width), self.input, scale, self.offset)

    def _input_positions(self, axis: int, device: torch.device) -> Tensor:
        """Original pixel centres along one axis as fractions (0..1) of the input's side."""
        # float64 here: at 10,000 pixels float32 positions are off by a visible part of a cell.
        centres = torch.arange(self.original[axis], dtype=torch.float64, device="cpu") + 0.5
        return ((centres * self.scale[axis] + self.offset[axis]) / self.input[axis]).to(device, torch.float32)
