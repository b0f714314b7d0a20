"""Where the pixels of a picture lie in a model's input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
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

    def cells_of(self, mask: NDArray[np.bool_], size: tuple[int, int]) -> Tensor:
        """How much each cell of maps over the input has to say in their mean over a mask of the picture.

        The sum of these weights times a map is the mean of `to_original` of it over those pixels of the mask that the
        model was shown: its adjoint, in one go and for any number of channels.

        Args:
            mask: bool (H,W) over the original picture.
            size: (h, w) of the maps, spanning the whole input.

        Returns:
            (h, w) float64, summing to 1; all 0 where the model was shown no pixel of the mask.
        """
        rows, columns = np.nonzero(mask)
        weights = torch.zeros(size, dtype=torch.float64).flatten()
        sides = [self._input_positions(axis, torch.device("cpu")).double() for axis in (0, 1)]
        ys, xs = (positions[torch.from_numpy(at)] for positions, at in zip(sides, (rows, columns), strict=True))
        seen = (ys >= 0) & (ys <= 1) & (xs >= 0) & (xs <= 1)
        # Between the centres of cells, and at the border the outermost ones, as `grid_sample` has it.
        ys, xs = ((at[seen] * side - 0.5).clamp(0, side - 1) for at, side in zip((ys, xs), size, strict=True))
        for low_y in (True, False):
            y = ys.floor() if low_y else (ys.floor() + 1).clamp(max=size[0] - 1)
            share_y = 1 - (ys - ys.floor()) if low_y else ys - ys.floor()
            for low_x in (True, False):
                x = xs.floor() if low_x else (xs.floor() + 1).clamp(max=size[1] - 1)
                share_x = 1 - (xs - xs.floor()) if low_x else xs - xs.floor()
                weights.index_add_(0, (y * size[1] + x).long(), share_y * share_x)
        return weights.view(size) / max(1, len(ys))

    def at_pixels(self, maps: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
        """`to_original` at some pixels alone.

        Args:
            maps: (C, h, w), spanning the whole input.
            ys, xs: (P,) rows and columns of the original picture.

        Returns:
            (C, P) float32.
        """
        down, across = (self._input_positions(axis, maps.device)[at.to(maps.device)] for axis, at in ((0, ys), (1, xs)))
        grid = torch.stack([2 * across - 1, 2 * down - 1], -1)[None, None].float()
        sampled = F.grid_sample(maps.detach().float()[None], grid, padding_mode="border", align_corners=False)[0, :, 0]
        return sampled * ((down >= 0) & (down <= 1) & (across >= 0) & (across <= 1))

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
