"""Questions about a picture, all types in turn."""

from __future__ import annotations

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.questions.types import MAKERS, Question
from mmcam.datasets.vignettes.truth import Truth


def ask(truth: Truth, n: int = 12, draw: int = 0) -> list[Question]:
    """Up to `n` different questions about a picture, all types in turn; the same every time.

    Args:
        truth: of the picture; also one that no seed has.
        n: how many; fewer come back where a picture has no more to ask.
        draw: another number gives other questions, for training on many of them.

    Raises:
        ValueError: if there is nothing in the picture.
    """
    if not truth.things:
        raise ValueError("There is nothing to ask about a picture without things; give it at least one.")
    dice = Dice("questions", truth.seed, draw) if draw else Dice("questions", truth.seed)
    questions: dict[str, Question] = {}
    for _ in range(4 + n // 2):
        for maker in dice.shuffled(tuple(MAKERS.values())):
            question = maker(truth, dice)
            if question is not None:
                questions.setdefault(question.text, question)
            if len(questions) >= n:
                return list(questions.values())
    return list(questions.values())
