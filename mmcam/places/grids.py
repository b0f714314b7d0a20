"""Token grids: where the tokens of a transformer lie in the picture, as a map (N,K,h,w) and back."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mmcam.engine.layer import Grid, Layer, Size
from mmcam.engine.modules import layer_name

MOST_EXTRA = 16
"""Class, distillation and register tokens that may precede the patches."""


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


def layer_at(model: nn.Module, given: object, call: int | None = None) -> Layer:
    """The layer of a dotted name, or as people write it (see `layer_name`), with the way it lies over the picture.

    Raises:
        ExplainError: there is no such layer.
    """
    name = layer_name(model, given)
    return Layer(name, partial(grid_at, model, name), call)


def grid_at(model: nn.Module, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
    """How a layer's output lies over a picture of (H,W); None if it does not.

    A model that knows better than the shapes say, such as one that shuffles its patches, has a method
    ``grid(layer, tensor, picture)`` that returns a `Grid` or None.
    """
    own = getattr(model, "grid", None)
    known = own(layer, tensor, picture) if callable(own) else None
    return known or grid_of(tuple(tensor.shape), picture)


def grid_of(shape: tuple[int, ...], picture: tuple[int, int]) -> Grid | None:
    """The grid of a layer's output from its shape and the picture's (H,W) alone; None where it shows no map.

    Four dimensions are (N,K,h,w) or (N,h,w,K), whichever has the picture's proportions; three are (N,L,K) if L is the
    number of cells of some square patches, with at most `MOST_EXTRA` other tokens before them.
    """
    if len(shape) == 4:
        if fits(shape[2:], picture) or not fits(shape[1:3], picture):
            return plain()
        return channels_last()
    if len(shape) == 3:
        cells = cells_of(shape[1], picture)
        return None if cells is None else tokens(*cells)
    return None


def cells_of(length: int, picture: tuple[int, int]) -> tuple[int, int, int] | None:
    """(h, w, others) for L tokens: the greatest grid of square patches that leaves the fewest others."""
    best: tuple[int, int, int] | None = None
    for patch in range(1, max(picture) // 2 + 1):
        for h, w in {(picture[0] // patch, picture[1] // patch), (-(-picture[0] // patch), -(-picture[1] // patch))}:
            extra = length - h * w
            if min(h, w) > 1 and 0 <= extra <= MOST_EXTRA and (best is None or extra < best[2]):
                best = (h, w, extra)
    return best


def fits(sides: tuple[int, ...], picture: tuple[int, int]) -> bool:
    """A map's sides are those of the picture over one stride, up to the rounding of paddings."""
    h, w = sides
    strides = picture[0] / h, picture[1] / w
    # A side of h cells may have been rounded or padded by a cell.
    return min(sides) > 1 and abs(strides[0] - strides[1]) <= max(strides) * (1 / h + 1 / w)
