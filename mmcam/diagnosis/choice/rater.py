"""Simulated raters, who see the maps of two models and nothing else of them: which is the more reasonable one?

In the study of trust (Grad-CAM, arXiv 1610.02391, section 5.2) people saw a picture, the class that two models both
gave it, and a visualisation of each, and chose one of five answers: the first is clearly more reasonable, slightly
more, both alike, and so on, which counts from +2 to −2. A person finds the thing in the picture by himself; a simulated
rater is shown where it is. He judges a map by the share of its heat that lies on the thing, and a difference counts
only from where he would notice it. What people notice nobody has told us, so raters differ: their two thresholds are
drawn evenly from the ranges below, and the answer to a pair of maps is the mean over all raters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmcam.evaluation.relevance import mass

RATERS: Final = 54
"""As many as took part in the study."""
SLIGHTLY: Final = (0.02, 0.1)
CLEARLY: Final = (0.1, 0.3)
"""Where thresholds lie: the difference between two shares of heat from which on one is slightly, or clearly, better."""


@dataclass(frozen=True)
class Rater:
    """Someone who compares two maps.

    Attributes:
        slightly, clearly: differences that he notices, and that are plain to him.
    """

    slightly: float
    clearly: float

    def answer(self, first: float, second: float) -> int:
        """2, 1, 0, −1 or −2: how much more reasonable the first map is, by the shares of heat on the thing."""
        difference = first - second
        size = (abs(difference) >= self.slightly) + (abs(difference) >= self.clearly)
        return size if difference > 0 else -size


def raters(count: int = RATERS, seed: int = 0) -> list[Rater]:
    """Raters whose thresholds are drawn."""
    rng = np.random.default_rng(seed)
    return [Rater(float(rng.uniform(*SLIGHTLY)), float(rng.uniform(*CLEARLY))) for _ in range(count)]


def rating(first: float, second: float, by: list[Rater]) -> float:
    """The mean answer to two maps, −2 to 2; above 0 the first is the more reasonable one."""
    return float(np.mean([rater.answer(first, second) for rater in by]))


def rate(first: NDArray[np.floating], second: NDArray[np.floating], thing: NDArray[np.bool_], by: list[Rater]) -> float:
    """The same of maps (H,W) and of where the thing is (H,W)."""
    return rating(mass(first, thing), mass(second, thing), by)
