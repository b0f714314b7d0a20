"""Where pictures, places and channels stand in a layer's output, and the grid of places in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmcam.engine.layer import Grid


@dataclass(frozen=True)
class Layout:
    """Which axes of an output hold pictures and channels; all others are places.

    Attributes:
        batch: the axis of the pictures: 0, or 1 with the sequence first.
        channels: the axis of the channels.
        each: rows of that axis a picture, as windows are.
        outer: the rows of a picture stand together; else those of a window do.
    """

    batch: int
    channels: int
    each: int = 1
    outer: bool = True

    def _moved(self, t: Tensor) -> Tensor:
        """(N, places…, K)."""
        n = t.shape[self.batch] // self.each
        split: Tensor = torch.unflatten(t, self.batch, (n, self.each) if self.outer else (self.each, n))
        return split.movedim(self._axes(), (0, -1))

    def _axes(self) -> tuple[int, int]:
        """Where pictures and channels stand once the batch axis is split in two."""
        channels = self.channels + (self.channels > self.batch)
        return self.batch + (not self.outer), channels

    def flat(self, t: Tensor) -> Tensor:
        """The output as (N,P,K): P places in the order they are kept."""
        return self._moved(t).flatten(1, -2)

    def back(self, flat: Tensor, like: Tensor) -> Tensor:
        """(N',P,K) in the shape of an output, of which only the number of pictures may be another."""
        moved = flat.reshape(len(flat), *self._moved(like).shape[1:])
        split: Tensor = moved.movedim((0, -1), self._axes())
        return split.flatten(self.batch, self.batch + 1)


def layouts(shape: Sequence[int], batch: int, each: int) -> Iterator[Layout]:
    """The ways to read an output of a shape whose pictures are on an axis: channels on its first or last other axis."""
    others = [axis for axis in range(len(shape)) if axis != batch]
    for channels in dict.fromkeys((others[-1], others[0])):
        yield Layout(batch, channels, each)
        if each > 1:
            yield Layout(batch, channels, each, outer=False)


def arranged(layout: Layout, at: Tensor, h: int, w: int, form: str) -> Grid:
    """Places in any order: cell i of the map, row by row, is place ``at[i]``; the places that are no cells stay.

    Args:
        layout: of the output.
        at: (h·w), all different.
        h, w: of the map.
        form: for messages.
    """

    def read(t: Tensor) -> Tensor:
        cells = layout.flat(t).index_select(1, at.to(t.device))
        return torch.unflatten(cells.transpose(1, 2), 2, (h, w))

    def write(t: Tensor, new: Tensor) -> Tensor:
        flat = layout.flat(t)
        rows = flat.repeat(len(new) // len(flat), 1, 1)
        return layout.back(rows.index_copy(1, at.to(t.device), new.flatten(2).transpose(1, 2).to(t.dtype)), t)

    return Grid(read, write, form)
