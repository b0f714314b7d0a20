"""Which part of a picture made a model answer a question so?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import torch
from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import Explanation, QuestionExplanation
from mmcam.image import Batch, PictureLike
from mmcam.methods.registry import Fusion
from mmcam.preparation import batch_of
from mmcam.tasks import captioning, scores, vqa
from mmcam.tasks.asked import Label, one_each, quoted, titled
from mmcam.tasks.vqa import AnswerScore


@overload
def explain_answer(
    model: nn.Module,
    images: PictureLike,
    question: str,
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: PictureLike,
    question: str,
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> QuestionExplanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: PictureLike,
    question: str,
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: bool,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation | QuestionExplanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[PictureLike],
    question: str | Sequence[str],
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[Explanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[PictureLike],
    question: str | Sequence[str],
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[QuestionExplanation]: ...
@torch.inference_mode(False)
def explain_answer(
    model: Any,
    images: Any,
    question: str | Sequence[str],
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: bool = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made a model answer a question so.

    With `by_word=`, also what each word of the question had to do with it: the score of a word is what the answer's
    score loses when the word is blanked, and its map is that difference's, so it shows where the picture met the word.
    Blanked means replaced by the model's ``blank_word``, or left out where it has none.

    Args:
        model: a VQA model (see `mmcam.VQAModel`), or one that writes its answers: a `mmcam.Captioner` with a context
            manager ``asked(questions)``, inside which its captions are its answers.
        images: a picture or a list of them (see `mmcam.image.prepare`).
        question: one for all pictures, or one each.
        answer: one of ``model.answers`` or its index, or any text if the model writes its answers; default its own.
        contrast: a second answer; the score becomes the difference, "why this rather than that".
        by_word: explain the words of the question, too.
        score: what of an answer is explained: "logit", "log_prob", "prob", "entropy" or one that was registered with
            `mmcam.register_score`; default the logit, and the log-probability of an answer that is written.
        layer, fuse, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation, or with `by_word=` a QuestionExplanation; a list of them for a list of pictures. All words of a
        question share one pass through the encoder.

    Raises:
        ExplainError: an answer the model does not know (with close matches); a contrast that is the answer itself; not
            one question a picture; `by_word=` of a question of which the model can read nothing when a word is blanked,
            or of more than 100 words.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    how, wanted = How(layer, method, call, options, fuse), AnswerScore(answer, contrast, score)
    if hasattr(module, "asked"):
        if by_word:
            raise ExplainError(f"{type(module).__name__} writes its answers; by_word= needs one with a list of them.")
        if not all(text is None or isinstance(text, str) for text in (answer, contrast)):
            raise ExplainError(f"{type(module).__name__} writes its answers: give answer= and contrast= as texts.")
        batch = batch_of(module, images, preprocess)
        questions = one_each(question, batch, "question")
        return _written(module, batch, questions, wanted, how)
    vqa.check_vqa(module)
    batch = batch_of(module, images, preprocess)
    questions = one_each(question, batch, "question")
    asked = vqa.ask(module, batch, questions, wanted, by_word)
    try:
        made = explanations(asked, how)
    except ExplainError:
        raise
    except ValueError as error:  # not in the model's forward, where it may mean other numbers of rows: these are tried
        raise vqa.unreadable(module, batch.x, questions, by_word, error) from error
    return made.per_picture(_question_explanation, questions) if by_word else made.as_listed()


def _written(module: Any, batch: Batch, questions: Sequence[str], wanted: AnswerScore, how: How) -> Any:
    """The answer of a model that writes it: all its words together, usually by their log-probability."""
    contrast: Any = wanted.contrast
    with module.asked(questions):
        captioning.check_captioner(module)
        given = None if wanted.answer is None else one_each(str(wanted.answer), batch, "caption")
        rows = captioning.caption_tokens(module, batch.x, given)
        texts = [captioning.whole(module, row, contrast) for row in rows]
        asked = captioning.ask(module, batch, texts, contrast, wanted.score or "log_prob")

        def label(t: int, n: int, value: float) -> Label:
            usual = asked.label(t, n, value)
            text = usual.context
            claim = f"It answers {quoted(text, contrast)}"
            claim = scores.claim(usual.scored, claim, quoted(text, contrast)) + f" to “{questions[n]}”"
            return Label(titled(text, contrast), claim, questions[n], usual.scored)

        whole = asked.computation

        def forward(x: Any, rows: Rows) -> Any:
            if rows.only is None:
                return whole.forward(x, rows)
            with module.asked([questions[rows.only % len(questions)]]):  # a pass of one row reads its own question
                return whole.forward(x, rows)

        of_answers = replace(asked, label=label, computation=replace(whole, forward=forward))
        return explanations(of_answers, how).as_listed()


def _question_explanation(words: list[Explanation], question: str) -> QuestionExplanation:
    """Of the answer first, then of every word of the question."""
    return QuestionExplanation(question, tuple(words[1:]), words[0])
