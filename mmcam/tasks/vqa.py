"""Visual question answering: the protocol of a model, and an answer's score as the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mmcam.engine import ExplainError


@runtime_checkable
class VQAModel(Protocol):
    """What a VQA model offers, besides being an ``nn.Module``.

    An optional ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made.
    """

    answers: Sequence[str]

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        """Scores before the softmax (R, answers) for pictures x (N,C,H,W) and R questions.

        R is a multiple of N: the engine repeats the encoder's rows to match, so nothing behind the encoder may take its
        number of rows from x.
        """


def check_vqa(model: Any) -> None:
    """Raise ExplainError unless the model offers the protocol."""
    missing = [name for name in ("answer_scores", "answers") if not hasattr(model, name)]
    if missing:
        raise ExplainError(
            f"{type(model).__name__} is no VQA model: it lacks {', '.join(missing)} "
            "(see mmcam.VQAModel, about 10 lines)."
        )
