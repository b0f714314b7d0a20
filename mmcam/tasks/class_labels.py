"""How an explained class is told: by its name, rather than which other, and what else the model makes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmcam.tasks.asked import Label, quoted, titled
from mmcam.tasks.choice import First, Similar, apart, chosen
from mmcam.tasks.names import class_name
from mmcam.tasks.prediction import Prediction, best_classes, probabilities
from mmcam.tasks.targets import called


@dataclass(frozen=True)
class ClassLabels:
    """The labels of the classes that were asked of a batch, once there was an output.

    Attributes:
        columns: the targets, of each an entry a picture: an index, a `Group`, None for the predicted class, a function.
        words: the same as they were asked for.
        contrast, contrast_word: the other class, also in these two forms; None where there is none.
        names: of the classes, or None.
        declared: what makes probabilities of logits (see `mmcam.tasks.prediction.probabilities`).
        first: what the first output was.
    """

    columns: Sequence[Sequence[Any]]
    words: Sequence[Sequence[Any]]
    contrast: Any
    contrast_word: Any
    names: Sequence[str] | None
    declared: str
    first: First

    def __call__(self, t: int, n: int, score: float) -> Label:
        """How target t of picture n is told."""
        own, rivals = self._meant(t, n)
        other = " or ".join(class_name(rival, self.names) for rival in rivals) if self.contrast is not None else None
        wanted, word = self.columns[t][n], self.words[t][n]
        if callable(wanted):
            name = called(wanted)
            title, claim, scored = titled(name, other), f"{quoted(name, other)} is as high as it is", ""
            return Label(title, claim, scored=scored, prediction=self._prediction(n, None, ""))
        name = class_name(own, self.names)
        title = titled(name, other)
        asked = titled(
            _typed(word, name),
            other if other is None or isinstance(self.contrast, Similar) else _typed(self.contrast_word, other),
        )
        prediction = self._prediction(n, own, asked if asked.casefold() != title.casefold() else "")
        return Label(title, f"It says {quoted(name, other)}", scored="logit", prediction=prediction)

    def _meant(self, t: int, n: int) -> tuple[int, list[int]]:
        """The class of target t of picture n, and that, or those, of its contrast; -1 of what has none."""
        if self._scores is None:
            return -1, [-1]
        wanted, rather = apart(self.columns[t][n], self.contrast, len(self.names or ()))
        scores = self._scores[n : n + 1]
        own = chosen([wanted], scores)
        if isinstance(rather, Similar):
            return int(own), rather.of(scores, own, "class")[0].tolist()
        return int(own), [int(chosen([rather], scores, own))]

    def _prediction(self, n: int, index: int | None, asked: str) -> Prediction | None:
        if self._scores is None:
            return None
        of_all, activation = self._probabilities
        own = None if of_all is None else of_all[n]
        probability = None if own is None or index is None else float(own[index])
        best = best_classes(self._scores[n], own, self.names)
        return Prediction(index, asked, probability, activation, self._scores.shape[1], best)

    @cached_property
    def _scores(self) -> Tensor | None:
        """(N, classes) on the CPU; None where every target was a function."""
        return None if self.first.scores is None else self.first.scores.to("cpu", torch.float32)

    @cached_property
    def _probabilities(self) -> tuple[Tensor | None, str]:
        assert self._scores is not None
        declared = "sigmoid" if self.first.two_sides else self.declared
        return probabilities(self._scores, self.first.operation, declared)


def _typed(word: Any, name: str) -> str:
    """What was asked for, where that was a word."""
    return word.strip() if isinstance(word, str) else name
