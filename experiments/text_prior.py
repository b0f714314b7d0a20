"""Maps that read the question but did not see the picture: where what is asked about usually is.

A map of a model has to be better than these before it says anything about the picture. On vignettes they are made of
the masks of other pictures' questions, on photographs of where people looked for other pictures' questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional as F

from mmcam.datasets import vignettes
from mmcam.explanation import write_whole

GRID: Final = (14, 14)
"""Where maps of questions are compared (Das et al., arXiv 1606.03556, section 5)."""
PICTURES: Final = 5_000
"""Of the train split."""
DRAWS: Final = 3
"""How often about twelve questions are asked of each of them."""
OFTEN: Final = 5
"""A text met less often than this says too little; then all questions of its type are taken."""

Grid = NDArray[np.float32]


def cells(maps: NDArray[np.generic]) -> Grid:
    """Maps (…,H,W) brought to (…,14,14) by averaging areas, as float32, in which equal averages are equal."""
    values = torch.from_numpy(np.array(maps, np.float64))
    if values.shape[-2:] == GRID:
        return values.float().numpy()
    small = F.interpolate(values.reshape(1, -1, *values.shape[-2:]), GRID, mode="area")
    return small.reshape(*values.shape[:-2], *GRID).float().numpy()


@dataclass(frozen=True)
class TextPrior:
    """Mean masks (14,14) of what questions are about: by their text where it was met often enough, and by their type.

    Attributes:
        texts, types: what a question says, or its type → the mean mask.
    """

    texts: dict[str, Grid]
    types: dict[str, Grid]

    def __call__(self, text: str, kind: str) -> tuple[Grid, bool]:
        """The map of a question, and whether it is only that of its type.

        Raises:
            ValueError: neither the text nor the type was ever met.
        """
        if text in self.texts:
            return self.texts[text], False
        if kind not in self.types:
            raise ValueError(f"No question of type {kind!r} was met, so nothing is known of where {text!r} looks.")
        return self.types[kind], True


def text_prior(folder: Path, pictures: int = PICTURES) -> TextPrior:
    """The prior of the first pictures of the train split, made once and read again from the folder."""
    path = folder / f"text-prior-{pictures}x{DRAWS}.npz"
    if not path.exists():
        prior = of_vignettes(pictures)
        arrays = {
            f"{name} {part}": np.array(list(getattr(own, part)()))
            for name, own in (("texts", prior.texts), ("types", prior.types))
            for part in ("keys", "values")
        }
        write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
    with np.load(path, allow_pickle=False) as kept:
        texts, types = (
            dict(zip(kept[f"{name} keys"].tolist(), kept[f"{name} values"], strict=True)) for name in ("texts", "types")
        )
    return TextPrior(texts, types)


def of_vignettes(pictures: int) -> TextPrior:
    """Mean masks over the questions about things of the first pictures of the train split."""
    sums: defaultdict[tuple[str, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(GRID))
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for i in track(range(pictures), "where things asked about are"):
        scene = vignettes.draw(vignettes.seed("train", i))
        things = cells(scene.instances)  # what is visible of them does not overlap, so a mask of several is their sum
        asked = [question for draw in range(DRAWS) for question in vignettes.questions.ask(scene.truth, draw=draw)]
        for question in {question.text: question for question in asked}.values():
            if question.things:
                for key in (("texts", question.text), ("types", question.type)):
                    sums[key] += things[list(question.things)].sum(0)
                    counts[key] += 1
    found: dict[str, dict[str, Grid]] = {"texts": {}, "types": {}}
    for (name, said), total in sums.items():
        if name == "types" or counts[name, said] >= OFTEN:
            found[name][said] = (total / counts[name, said]).astype(np.float32)
    return TextPrior(**found)


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
