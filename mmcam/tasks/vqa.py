"""Visual question answering: the protocol of a model, and an answer's score as the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError


@runtime_checkable
class VQAModel(Protocol):
    """What a VQA model offers, besides being an ``nn.Module``.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made; ``blank_word`` is a word without
    meaning, put in place of one whose part in an answer is asked for (without it that word is left out);
    ``attention(x, questions)`` its own attention to the regions of the picture, {level: (R,h,w)}.
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


def blanked(question: str, blank: str) -> list[tuple[str, str]]:
    """Each word of a question, and the question with that word replaced by `blank`, or left out if that is empty.

    Raises:
        ExplainError: nothing is left of a question of one word.
    """
    words = question.split()
    if len(words) == 1 and not blank:
        raise ExplainError(f"Nothing is left of {question!r} without its one word; ask for the answer alone.")
    put = [blank] if blank else []
    return [(word, " ".join([*words[:i], *put, *words[i + 1 :]])) for i, word in enumerate(words)]


def unreadable(
    model: Any, x: Tensor, questions: Sequence[str], blanked: Sequence[Sequence[tuple[str, str]]], error: ValueError
) -> ExplainError:
    """The error for a question the model cannot read, in the user's words where it lost one of its own.

    Args:
        model: raised `error`, asked `questions` and all versions of them at once.
        x: (N,C,H,W).
        questions: as the user asked them, one a picture.
        blanked: what `blanked` made of each; empty without `by_word=`.
        error: says in the model's words what is wrong with one of the questions.
    """
    for n, (asked, versions) in enumerate(zip(questions, blanked, strict=True)):
        for word, version in [("", asked), *versions]:
            try:
                with as_found(model):
                    model.answer_scores(x[n : n + 1].clone(), [version])
            except ValueError as why:
                if not word:
                    return ExplainError(str(why))
                return ExplainError(
                    f"Without {word!r} the model can read nothing in {asked!r}; ask for the answer alone, or with more "
                    "words it knows."
                )
    return ExplainError(str(error))


def difference_target(score: Target, n: int, version: int) -> Target:
    """What the score of n questions loses in another version of them; the output holds the rows of all versions."""

    def difference(output: Any) -> Tensor:
        return score(output[:n]) - score(output[version * n : (version + 1) * n])

    return difference
