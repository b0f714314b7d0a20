"""What is run and differentiated: a model, its pictures, and the scalars of its output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mmcam.engine.kept import Kept
from mmcam.engine.outputs import Target
from mmcam.engine.rows import Rows

Forward = Callable[[Tensor, Rows], Any]
"""(pictures, the rows that are wanted behind the layer) → the model's output."""


@dataclass(frozen=True)
class Computation:
    """A model, how it is run on pictures, and the targets.

    Attributes:
        model: the module that holds the layer; always left exactly as found.
        forward: runs the model on the pictures, its text side (if any) on as many rows as it is told.
        x: (N,C,H,W) on the model's device, or (versions·N,C,H,W).
        targets: T functions from the output for N pictures, with all their texts, to their N scores.
        texts: versions of the text of each picture, where a target compares several.
        kept: what the model's encoder gave for some pictures before; passes on these begin behind it.
        versions: x holds so many batches of the N pictures, one after the other, and the results as many rows; targets
            see one batch at a time.
    """

    model: nn.Module
    forward: Forward
    x: Tensor
    targets: Sequence[Target]
    texts: int = 1
    versions: int = 1
    kept: Sequence[Kept] = ()

    @property
    def pictures(self) -> int:
        """N."""
        return len(self.x) // self.versions

    def rows(self, copies: int = 1) -> Rows:
        """The rows behind the layer, with so many copies for other targets."""
        return Rows(self.pictures, self.texts, copies * self.versions)

    def alone(self, x: Tensor) -> Any:
        """The output for any number of versions (M,C,H,W) of the first picture, with its first text."""
        return self.forward(x, Rows(1, repeats=len(x), only=0))
