"""Visual question answering: the protocol of a model, and an answer's score as the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks import scores
from mmcam.tasks.asked import Asked, Label, quoted, titled
from mmcam.tasks.choice import First, Similar, chosen, rather_than
from mmcam.tasks.classification import column_target
from mmcam.tasks.names import message_of, nearest, short
from mmcam.tasks.targets import single

MOST_WORDS = 100
"""Words of a question that are explained: as many targets of as many texts of as many words, so time is their cube."""


@runtime_checkable
class VQAModel(Protocol):
    """What a VQA model offers, besides being an ``nn.Module``.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made; ``picture_encoder`` names the module
    that sees the pictures alone, as in `mmcam.Captioner`; ``blank_word`` is a word without
    meaning, put in place of one whose part in an answer is asked for (without it that word is left out);
    ``attention(x, questions)`` its own attention to the regions of the picture, {level: (R,h,w)}.
    """

    answers: Sequence[str]

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        """Scores before the softmax (R, answers) for pictures x (N,C,H,W) and R questions.

        R is a multiple of N: the engine repeats the encoder's rows to match, so nothing behind the encoder may take its
        number of rows from x.
        """


@dataclass(frozen=True)
class AnswerScore:
    """What of an answer is explained.

    Attributes:
        contrast: a second answer, whose score is taken off.
        score: a name of `mmcam.tasks.scores.SCORES`; None for the task's usual one.
    """

    contrast: str | int | None = None
    score: str | None = None


def ask(
    model: Any,
    batch: Batch,
    questions: Sequence[str],
    answers: Sequence[Sequence[Any]],
    wanted: AnswerScore,
    by_word: bool = False,
) -> Asked:
    """Which part of each picture made the model answer its question so, and what each word had to do with it.

    The first targets are the answers' scores; with `by_word`, target i is what the one loses without the question's
    word i − 1.

    Args:
        model: a VQA model.
        batch: the pictures.
        questions: one a picture.
        answers: of each picture one or more, by text or index; None for the model's own.
        wanted: their score, which is usually the logit.
        by_word: explain the words of the questions, too; then of one answer a picture.

    Raises:
        ExplainError: an answer the model does not know; a contrast that is the answer; a question of one word that
            cannot be blanked; no such score.
    """
    n = len(questions)
    rows = [[None if answer is None else answer_index(answer, model.answers) for answer in row] for row in answers]
    # Every target is computed for every picture; a picture with fewer of them repeats its last.
    columns = [[row[min(t, len(row) - 1)] for row in rows] for t in range(max(map(len, rows)))]
    rather = rather_than(wanted.contrast, model.answers)
    against = rather if rather is None or isinstance(rather, Similar) else answer_index(rather, model.answers)
    first = First()
    scored = wanted.score or "logit"
    each = [_answer_target(column, against, first, model.answers, scored) for column in columns]
    without = [blanked(question, getattr(model, "blank_word", "")) if by_word else [] for question in questions]
    # Texts of a picture: its question as it is, then without each of its words. Short questions are filled up with
    # themselves, which makes no difference, so nothing comes of it.
    longest = max(map(len, without))
    texts = [*questions]
    for i in range(longest):
        texts += [
            blanks[i][1] if i < len(blanks) else question for blanks, question in zip(without, questions, strict=True)
        ]

    def forward(x: Tensor, rows: Rows) -> Tensor:
        outputs: Tensor = model.answer_scores(x, rows.spread(texts))
        return outputs

    def label(t: int, i: int, value: float) -> Label:
        assert first.scores is not None
        index = columns[0 if by_word else t][i]
        own = int(first.scores[i].argmax()) if index is None else index
        name, other = model.answers[own], _rivals(against, first.scores[i], own, model.answers)
        title, both = titled(name, other), quoted(name, other)
        if t == 0 or not by_word:
            claim = scores.claim(scored, f"It answers {both}", both) + f" to “{questions[i]}”"
            return Label(title, claim, questions[i], scored)
        # A word without which the score is higher speaks against the answer, by what lowers the difference.
        sense = 1 if value >= 0 else -1
        word = without[i][t - 1][0]
        claim = f"The word “{word}” of “{questions[i]}” speaks {'for' if sense > 0 else 'against'} {both}"
        return Label(word, claim, f"{questions[i]} — {title}", scored, sense)

    def attention() -> dict[str, Tensor]:
        if against is not None:
            raise ExplainError("Attention knows no contrast: it is the same for both; leave contrast= out.")
        return {level: maps[None] for level, maps in model.attention(batch.x.clone(), questions).items()}

    targets: list[Target] = [_of_questions(whole, n) for whole in each]
    targets += [difference_target(each[0], n, i + 1) for i in range(longest)]
    return Asked(
        batch,
        Computation(model, forward, batch.x, targets, texts=1 + longest),
        label,
        [range(1 + len(blanks)) for blanks in without] if by_word else [range(len(row)) for row in rows],
        language=True,
        attention=attention if hasattr(model, "attention") else None,
    )


def _rivals(contrast: int | Similar | None, scores: Tensor, own: int, answers: Sequence[str]) -> str | None:
    """What an answer is rather than, in words."""
    if not isinstance(contrast, Similar):
        return None if contrast is None else answers[contrast]
    nearest_ones = contrast.of(scores[None], torch.tensor([own], device=scores.device), "answer")[0].tolist()
    return " or ".join(answers[index] for index in nearest_ones)


def answer_index(answer: Any, answers: Sequence[str]) -> int:
    """The index of an answer by its text or index.

    Raises:
        ExplainError: the model has no such answer (the message lists the closest), or it is of another type.
    """
    wanted = single(answer, "answer", function=False)
    if isinstance(wanted, str):
        return nearest(wanted, answers or (), "answer")
    if not -len(answers or ()) <= wanted < len(answers or ()):
        raise ExplainError(f"There is no answer {short(wanted)}: the model has answers 0…{len(answers or ()) - 1}.")
    index: int = wanted
    return index


def _answer_target(
    column: Sequence[int | None], contrast: int | Similar | None, first: First, answers: Sequence[str], score: str
) -> Target:
    """The score of one answer a picture, or its lead over the contrast's."""
    logits = column_target(column, contrast, first, answers, "answer")
    if score == "logit":
        return logits
    function = scores.get(score)

    def target(output: Tensor) -> Tensor:
        logits(output)  # settles which answer is the predicted one, and refuses those that are not there
        assert first.scores is not None
        own = chosen(column, first.scores)

        def of(indices: Tensor) -> Tensor:
            tokens = indices[:, None]
            return function(output[:, None], tokens, torch.ones_like(tokens, dtype=output.dtype))

        if contrast is None:
            return of(own)
        if isinstance(contrast, Similar):
            rivals = contrast.of(first.scores, own, "answer")
        else:
            rivals = chosen([contrast] * len(column), first.scores)[:, None]
        return of(own) - torch.stack([of(one) for one in rivals.unbind(1)]).mean(0)

    return target


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
        ExplainError: nothing is left of a question of one word; it has more than `MOST_WORDS`.
    """
    words = question.split()
    if len(words) > MOST_WORDS:
        raise ExplainError(
            f"The question has {len(words)} words, and word by word up to {MOST_WORDS} are explained, since each costs "
            "a pass through all; ask for the answer alone."
        )
    if len(words) == 1 and not blank:
        raise ExplainError(f"Nothing is left of {short(question)} without its one word; ask for the answer alone.")
    put = [blank] if blank else []
    return [(word, " ".join([*words[:i], *put, *words[i + 1 :]])) for i, word in enumerate(words)]


def _of_questions(score: Target, n: int) -> Target:
    """The score of n questions as they are; the output holds the rows of all their versions."""
    return lambda output: score(output[:n])


def difference_target(score: Target, n: int, version: int) -> Target:
    """What the score of n questions loses in another version of them; the output holds the rows of all versions."""

    def difference(output: Any) -> Tensor:
        return score(output[:n]) - score(output[version * n : (version + 1) * n])

    return difference


def unreadable(model: Any, x: Tensor, questions: Sequence[str], by_word: bool, error: ValueError) -> ExplainError:
    """The error for a question the model cannot read, in the user's words where it lost one of its own.

    Args:
        model: raised `error`, asked all texts of the questions at once.
        x: (N,C,H,W).
        questions: as the user asked them, one a picture.
        by_word: they were also asked without each of their words.
        error: says in the model's words what is wrong with one of the texts.
    """
    blank = getattr(model, "blank_word", "")
    for n, question in enumerate(questions):
        for word, text in [("", question), *(blanked(question, blank) if by_word else ())]:
            try:
                with as_found(model):
                    model.answer_scores(x[n : n + 1].clone(), [text])
            except ValueError as reason:
                if not word:
                    return ExplainError(message_of(reason))
                return ExplainError(
                    f"Without {short(word)} the model can read nothing in {short(question)}; ask for the answer alone, "
                    "or with more words it knows."
                )
    return ExplainError(message_of(error))
