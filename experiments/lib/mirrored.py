"""Encoded photographs, of which a training step sees half mirrored: twice as many to learn from, encoded once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from experiments.lib.captioned import Split
from experiments.lib.pictures import activations

SIDES = frozenset({"left", "right"})


@dataclass(frozen=True)
class Encoded:
    """What an encoder, or its first layers, made of photographs.

    Attributes:
        plain: (pictures, …), halves.
        mirrored: the same of the mirrored photographs, or None where none is to be mirrored.
        sided: (pictures,) true where a caption names a side and the photograph must stay as it is.
    """

    plain: np.ndarray
    mirrored: np.ndarray | None
    sided: np.ndarray

    def __len__(self) -> int:
        return len(self.plain)

    def batch(self, rows: np.ndarray, seed: tuple[int, int]) -> Tensor:
        """The photographs `rows` as floats, half of those that may be mirrored being so, drawn from a seed."""
        if self.mirrored is None:
            return torch.from_numpy(self.plain[rows]).float()
        turned = (np.random.default_rng(seed).random(len(rows)) < 0.5) & ~self.sided[rows]
        pairs = zip(rows, turned, strict=True)
        return torch.from_numpy(np.stack([(self.mirrored if turn else self.plain)[row] for row, turn in pairs])).float()


def encode(front: nn.Module, split: Split, folder: Path, name: str, mirror: bool) -> Encoded:
    """What an encoder, or its first layers, in eval mode made of a split, each photograph encoded once.

    Args:
        front: the encoder, or its first layers.
        split: the photographs, and the captions that may name a side.
        folder, name: see `activations`.
        mirror: whether the mirrored photographs are wanted, too.
    """
    plain = activations(front, split.pictures, folder, name)
    turned = activations(front, split.pictures, folder, name, mirrored=True) if mirror else None
    return Encoded(plain, turned, name_sides(split.captions))


def name_sides(captions: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """Whether a caption of a photograph says left or right, (pictures,)."""
    return np.array([any(SIDES & set(words) for words in own) for own in captions])
