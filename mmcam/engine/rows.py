"""The order of the rows behind a layer, told once.

Before the layer a model sees each picture once. Behind it every tensor has a row for each

* **text**: a version of what is said of or asked about a picture (a caption and its contrast, a question and the same
  question without a word), and in it for each
* **repeat**: a copy of the row for another target, or another version of the picture (a noisy one, a masked one), and
  in it for each
* **picture**.

So row ``(text · repeats + repeat) · pictures + picture`` belongs to that picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmcam.engine.outputs import map_tensors

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Rows:
    """How many rows there are behind a layer, and of what.

    Attributes:
        pictures: N.
        texts: versions of the text of each picture.
        repeats: times that each of them is repeated.
        only: the rows are those of one entry alone, of so many as there are texts and pictures; then N and the texts
            are 1.
    """

    pictures: int
    texts: int = 1
    repeats: int = 1
    only: int | None = None

    def __len__(self) -> int:
        return self.texts * self.repeats * self.pictures

    def spread(self, entries: Sequence[Entry]) -> list[Entry]:
        """One entry for each text of each picture, the text outermost, in the order of the rows."""
        if self.only is not None:
            return [entries[self.only]] * self.repeats
        n = self.pictures
        blocks = [list(entries[start : start + n]) for start in range(0, self.texts * n, n)]
        return [entry for block in blocks for entry in block * self.repeats]

    def spread_tensor(self, entries: Tensor) -> Tensor:
        """The same of the rows of a tensor, (texts·N, …) → (texts·repeats·N, …)."""
        if self.only is not None:
            entries = entries[self.only : self.only + 1]
        each = torch.unflatten(entries, 0, (self.texts, self.pictures))[:, None]
        return each.expand(-1, self.repeats, *[-1] * (each.ndim - 2)).flatten(0, 2)

    def blocks(self, output: Any) -> list[Any]:
        """The texts·N rows of each repeat of an output, through whatever structure it has."""
        if self.repeats == 1:
            return [output]

        def rows_of_repeat(repeat: int) -> Callable[[Tensor], Tensor]:
            def rows(tensor: Tensor) -> Tensor:
                if tensor.ndim == 0 or len(tensor) != len(self):
                    return tensor
                return torch.unflatten(tensor, 0, (self.texts, self.repeats, self.pictures))[:, repeat].flatten(0, 1)

            return rows

        return [map_tensors(output, rows_of_repeat(repeat)) for repeat in range(self.repeats)]

    def per_text(self, pictures: Tensor) -> Tensor:
        """Pictures (repeats·N, …) once for each text: (texts·repeats·N, …), for models without a layer between."""
        return torch.cat([pictures] * self.texts)
