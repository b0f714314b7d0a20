"""Maps that have not seen the picture: what a method has to be better than."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

BASELINES: Final = ("(random)", "(centre)")


def baseline(name: str, size: tuple[int, int], seed: int = 0) -> Tensor:
    """(H,W): noise, or a Gaussian in the middle whose σ is a quarter of each side."""
    if name == "(random)":
        return torch.rand(size, generator=torch.Generator().manual_seed(seed))
    y, x = (((torch.arange(side) + 0.5) / side - 0.5) for side in size)
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.25**2))
