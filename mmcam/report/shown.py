"""What a page has to know of an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

from mmcam.neurons.dissection import Dissection
from mmcam.neurons.explanation_like import ExplanationLike
from mmcam.neurons.names import Names
from mmcam.tasks.prediction import Prediction
from mmcam.tasks.region import Region


class Shown(ExplanationLike, Protocol):
    """The part of `mmcam.Explanation` that is read here: reports know nothing of the room above them."""

    @property
    def values(self) -> Tensor:
        """The method's map: a cam (h,w), or a pixel map (C,H,W)."""

    @property
    def context(self) -> str:
        """The caption of a word, the question of an answer; "" for a class."""

    @property
    def note(self) -> str:
        """A sentence about this map, e.g. why it is empty."""

    @property
    def scored(self) -> str:
        """What the score is."""

    @property
    def preparation(self) -> str:
        """How the model's input was made of the picture, in words."""

    @property
    def prediction(self) -> Prediction | None:
        """Of a classifier, what it makes of the picture."""

    @property
    def region(self) -> Region | None:
        """Where in the picture the target is; None where it is the whole picture's."""

    def why(self, names: Names | Dissection) -> Any:
        """Its units, in words."""


@dataclass(frozen=True)
class Line:
    """What is said of a picture, as a page shows it.

    Attributes:
        kind: of a text, "caption" or "question"; "target" for one target alone.
        words: of the text, one each; empty for a target.
        whole: the target, the whole caption, or the answer.
        name: what the result is called, e.g. by the name of its file; "" if it has no name.
    """

    kind: Literal["target", "caption", "question"]
    words: Sequence[Shown]
    whole: Shown
    name: str = ""

    @property
    def items(self) -> list[Shown]:
        """All of it that has a map: the words', and last the whole's."""
        return [*self.words, self.whole]
