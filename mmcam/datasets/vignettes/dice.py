"""Random draws that mean the same on every machine: one stream of doubles per seed and purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_PURPOSES = ("layout", "scenery", "look", "noise", "captions", "questions", "damage")


class Dice:
    """A stream of draws from ``(purpose, seed)``.

    Only raw doubles of PCG64 are used: NumPy promises that stream for ever, while it may change how
    ``Generator.choice`` or ``Generator.normal`` spend it.
    """

    def __init__(self, purpose: str, *seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64([_PURPOSES.index(purpose), *seed]))
        self._doubles: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._doubles:
            self._doubles = self._generator.random(128).tolist()
        return self._doubles.pop()

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, n: int) -> int:
        """An integer in 0 … n-1."""
        return int(self.unit() * n)

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return self.unit() < p

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, which must not be empty."""
        return items[int(self.unit() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """`items` in a random order, as a new list."""
        left = list(items)
        for i in range(len(left) - 1, 0, -1):
            j = int(self.unit() * (i + 1))
            left[i], left[j] = left[j], left[i]
        return left
