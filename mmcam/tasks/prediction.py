"""What a classifier makes of a picture beside the target: its five best classes, and how probable it holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcam.tasks.names import class_name

BEST = 5
"""Classes that are told of a picture."""


@dataclass(frozen=True)
class Ranked:
    """A class among the best.

    Attributes:
        index: of the class.
        name: what it is called.
        score: its logit, or what else the model gives.
        probability: see `Prediction`.
    """

    index: int
    name: str
    score: float
    probability: float | None


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture.

    Attributes:
        index: of the class that is explained; None for a function of the output.
        asked: the words it was asked by, where they are not its name: "cat" for a tabby.
        probability: of the class that is explained, by the model's own count; None where nothing says what its scores
            are, and for a function.
        activation: what made probabilities of the scores: "softmax", which divides 1 among all classes, or "sigmoid",
            which asks of each class alone whether it is there; "" where nothing did.
        classes: how many the model knows.
        best: those with the highest scores, the highest first.
    """

    index: int | None
    asked: str
    probability: float | None
    activation: str
    classes: int
    best: tuple[Ranked, ...]

    @property
    def doubt(self) -> str:
        """A sentence where no class has a probability of one half; "" where one has, and where there are none."""
        highest = self.best[0].probability
        if highest is None or not highest < 0.5:
            return ""
        if self.activation == "sigmoid":
            return f"None of the {self.classes:,} classes has a probability of one half: it holds each for absent."
        return (
            f"No class has half of the probability, which is divided among the {self.classes:,} that the model knows, "
            "also where the picture shows none of them."
        )

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "class": self.index,
            "asked": self.asked,
            "probability": self.probability,
            "activation": self.activation,
            "classes": self.classes,
            "doubt": self.doubt,
            "best": [
                {"class": one.index, "name": one.name, "score": one.score, "probability": one.probability}
                for one in self.best
            ],
        }


def probabilities(scores: Tensor, operation: str, declared: str) -> tuple[Tensor | None, str]:
    """Probabilities of class scores, and what makes them.

    Args:
        scores: (N, classes).
        operation: that made them, by its name in autograd; "" without a graph.
        declared: what the model says makes probabilities of its logits: "softmax", "sigmoid" or "".

    Returns:
        (N, classes) and "softmax" or "sigmoid"; None and "" where scores between 0 and 1 may be either already, and for
        a single score a picture.
    """
    scores = scores.double()
    if operation == "Sigmoid":
        return scores, "sigmoid"
    if operation in ("Softmax", "LogSoftmax"):
        return (scores.exp() if operation == "LogSoftmax" else scores), "softmax"
    if not declared and (scores.shape[1] == 1 or (not operation and bool(((scores >= 0) & (scores <= 1)).all()))):
        return None, ""
    if declared == "sigmoid":
        return scores.sigmoid(), "sigmoid"
    return scores.softmax(1), "softmax"


def best_classes(scores: Tensor, probability: Tensor | None, names: Sequence[str] | None) -> tuple[Ranked, ...]:
    """The best classes of a picture by its scores (classes,), with their probabilities (classes,) if there are any."""
    order = torch.argsort(scores, descending=True, stable=True)[:BEST].tolist()
    return tuple(
        Ranked(i, class_name(i, names), float(scores[i]), None if probability is None else float(probability[i]))
        for i in order
    )
