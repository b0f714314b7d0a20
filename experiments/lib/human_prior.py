"""Where people look for other questions of the kind: a map that read the question but did not see the picture.

A model's map has to agree with people's better than this before it says anything about the picture. (The same of
vignettes, from masks, is `experiments.lib.text_prior`.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

GRID: Final = (14, 14)
"""Where maps of questions are compared (Das et al., arXiv 1606.03556, section 5)."""

Grid = NDArray[np.float32]


def cells(maps: NDArray[np.generic]) -> Grid:
    """Maps (…,H,W) brought to (…,14,14) by averaging areas, as float32, in which equal averages are equal."""
    values = torch.from_numpy(np.array(maps, np.float64))
    if values.shape[-2:] == GRID:
        return values.float().numpy()
    small = F.interpolate(values.reshape(1, -1, *values.shape[-2:]), GRID, mode="area")
    return small.reshape(*values.shape[:-2], *GRID).float().numpy()


class HumanPrior:
    """Where people looked for other questions that begin with the same two words, a picture's own questions left out.

    Args:
        questions: (picture, text, the mean (14,14) of its people's maps) of each.
    """

    def __init__(self, questions: Iterable[tuple[Path, str, Grid]]) -> None:
        self._looked: defaultdict[str, list[tuple[Path, Grid]]] = defaultdict(list)
        for picture, text, looked in questions:
            for start in (_start(text), ""):
                self._looked[start].append((picture, looked))

    def __call__(self, picture: Path, text: str) -> tuple[Grid | None, bool]:
        """The map of a question, and whether it is that of all questions since no other one begins so.

        None where there is no question of another picture at all.
        """
        for start in (_start(text), ""):
            others = [looked for whose, looked in self._looked.get(start, ()) if whose != picture]
            if others:
                return np.mean(others, axis=0, dtype=np.float32), not start
        return None, True


def _start(text: str) -> str:
    return " ".join(text.lower().split()[:2])
