"""Grids: how the output of a layer is read as a map (N,K,h,w), and written back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcam.engine.layer import Grid, Size


def plain() -> Grid:
    """(N,K,h,w) as convolutions give it."""
    return Grid(lambda t: t, lambda t, new: new, "a map")


def channels_last() -> Grid:
    """(N,h,w,K), as in Swin and other window transformers."""
    return Grid(lambda t: t.permute(0, 3, 1, 2), lambda t, new: new.permute(0, 2, 3, 1), "a map, channels last")


def tokens(h: int, w: int, skip: int = 0) -> Grid:
    """(N,L,K): `skip` others, then h·w patches row by row, then perhaps more others."""
    end = skip + h * w

    def read(t: Tensor) -> Tensor:
        return torch.unflatten(t[:, skip:end].transpose(1, 2), 2, (h, w))

    def write(t: Tensor, new: Tensor) -> Tensor:
        rows = t.repeat(len(new) // len(t), 1, 1)
        return torch.cat([rows[:, :skip], new.flatten(2).transpose(1, 2).to(t.dtype), rows[:, end:]], dim=1)

    return Grid(read, write, f"{h}×{w} tokens" + (f" after {skip} other{'s' if skip > 1 else ''}" if skip else ""))


def placed(at: Tensor, h: int, w: int) -> Grid:
    """(N,L,K) whose patches stand in another order: cell i of the map, row by row, is token ``at[n, i]``; -1: no token.

    Args:
        at: (N or 1, h·w), token numbers on the layer's device.
        h, w: of the map.
    """
    there = at >= 0

    def read(t: Tensor) -> Tensor:
        index = at.clamp(min=0).expand(len(t), -1)
        cells = t.gather(1, index[:, :, None].expand(-1, -1, t.shape[2]))
        cells = cells * there[:, :, None].to(t.dtype)
        return torch.unflatten(cells.transpose(1, 2), 2, (h, w))

    def write(t: Tensor, new: Tensor) -> Tensor:
        copies = len(new) // len(t)
        rows = t.repeat(copies, 1, 1)
        index, mask = (v.expand(len(t), -1).repeat(copies, 1) for v in (at.clamp(min=0), there))
        cells = new.flatten(2).transpose(1, 2).to(t.dtype)
        # A cell without a token must write nothing, not even to token 0: it goes to a row that is cut off.
        index = torch.where(mask, index, rows.shape[1])
        wide = torch.cat([rows, rows[:, :1]], dim=1)
        return wide.scatter(1, index[:, :, None].expand(-1, -1, rows.shape[2]), cells)[:, :-1]

    return Grid(read, write, f"{h}×{w} tokens in another order")


def declared(model: nn.Module, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
    """How a layer's output lies over a picture of (H,W) as the model itself says; None if it says nothing.

    A model that shuffles its patches, or puts words among them, has a method ``grid(layer, tensor, picture)`` that
    returns a `Grid` or None.
    """
    own = getattr(model, "grid", None)
    return own(layer, tensor, picture) if callable(own) else None
