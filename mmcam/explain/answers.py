"""Which part of a picture made a model answer a question so?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.explain.chunks import Errors, Way, at_a_time, explain_each, in_groups, per_owner
from mmcam.explain.explained import Explained, How, Layers, as_list, explanations
from mmcam.explanation import Explanation, Explanations, QuestionExplanation
from mmcam.image import Batch
from mmcam.looked import Pictured, opened, with_kept
from mmcam.methods.registry import Fusion
from mmcam.tasks import captioning, scores, vqa
from mmcam.tasks.asked import Asked, Label, one_text, quoted, several, titled
from mmcam.tasks.captioning import Caption
from mmcam.tasks.targets import is_list
from mmcam.tasks.vqa import AnswerScore


@overload
def explain_answer(
    model: nn.Module,
    images: Pictured,
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
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Pictured,
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
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> QuestionExplanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Pictured,
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
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation | QuestionExplanation: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Pictured,
    question: str,
    answer: Sequence[str | int],
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Pictured,
    question: str,
    answer: Sequence[str | int],
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[QuestionExplanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[Pictured],
    question: str | Sequence[str],
    answer: str | int | Sequence[str | int | None] | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[Pictured],
    question: str | Sequence[str],
    answer: str | int | Sequence[str | int | None] | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[QuestionExplanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[Pictured],
    question: str | Sequence[str],
    answer: Sequence[Sequence[str | int]],
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanations[Explanation]]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Sequence[Pictured],
    question: str | Sequence[str],
    answer: Sequence[Sequence[str | int]],
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanations[QuestionExplanation]]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Iterable[Any],
    question: str | Iterable[str],
    answer: str | int | Iterable[str | int | None] | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[False] = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[Explanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Iterable[Any],
    question: str | Iterable[str],
    answer: str | int | Iterable[str | int | None] | None = None,
    *,
    contrast: str | int | None = None,
    by_word: Literal[True],
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[QuestionExplanation]: ...
@overload
def explain_answer(
    model: nn.Module,
    images: Iterable[Any],
    question: Any,
    answer: Any = None,
    *,
    contrast: str | int | None = None,
    by_word: bool = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["skip"],
    **options: Any,
) -> Any: ...
def explain_answer(
    model: Any,
    images: Any,
    question: Any,
    answer: Any = None,
    *,
    contrast: str | int | None = None,
    by_word: bool = False,
    score: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture made a model answer a question so.

    With `by_word=`, also what each word of the question had to do with it: the score of a word is what the answer's
    score loses when the word is blanked, and its map is that difference's, so it shows where the picture met the word.
    Blanked means replaced by the model's ``blank_word``, or left out where it has none.

    Args:
        model: a VQA model (see `mmcam.VQAModel`), or one that writes its answers: a `mmcam.Captioner` with a context
            manager ``asked(questions)``, inside which its captions are its answers.
        images: a picture, a list or a stream of them, as in `explain_class`.
        question: one for all pictures, or one each.
        answer: one of ``model.answers`` or its index, or any text if the model writes its answers; default its own. For
            one picture, a list asks for several answers; for several pictures, a list holds one entry a picture, each
            an answer or a list of them.
        contrast: a second answer; the score becomes the difference, "why this rather than that"; "similar" takes off
            the mean of the three with the nearest scores, as in `explain_class`, where the model has a list of answers.
        by_word: explain the words of the question, too.
        score: what of an answer is explained: "logit", "log_prob", "prob", "entropy" or one that was registered with
            `mmcam.register_score`; default the logit, and the log-probability of an answer that is written.
        layer, fuse, method, call, options: as in `attribute`.
        preprocess, batch_size, errors: as in `explain_class`.

    Returns:
        An Explanation, or with `by_word=` a QuestionExplanation; a list of them for a list of pictures or of answers,
        nested if both; an iterator for a stream. All words of a question share one pass through the encoder.

    Raises:
        ExplainError: an answer the model does not know (with close matches); a contrast that is the answer itself; not
            one question a picture; `by_word=` of a question of which the model can read nothing when a word is blanked,
            or of more than 100 words.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    how = How(layer, method, call, options, fuse)
    writes = hasattr(module, "asked")
    if writes and by_word:
        raise ExplainError(f"{type(module).__name__} writes its answers; by_word= needs one with a list of them.")
    if not writes:
        vqa.check_vqa(module)

    def explain(batch: Batch, questions: Sequence[Any], answers: Sequence[Any]) -> list[Any]:
        made: list[list[Any]]
        texts = [one_text(each, "question") for each in questions]
        rows = [several(entry, "answer") for entry in answers]
        if writes or method == "attention" or (by_word and max(map(len, rows)) > 1):  # there are several passes
            batch = _looked_at(module, batch, texts, layer)
        if not writes and not by_word:
            made = _of_list(module, batch, texts, rows, AnswerScore(contrast, score), how)
        else:
            explained: Callable[..., list[Any]] = _written if writes else _by_word
            owners = [n for n, row in enumerate(rows) for _ in row]
            own, flat = [texts[n] for n in owners], [answer for row in rows for answer in row]
            each = explained(module, batch.rows(owners), own, flat, AnswerScore(contrast, score), how)
            made = per_owner(each, owners, len(rows))
        return [as_list(row) if is_list(entry) else row[0] for row, entry in zip(made, answers, strict=True)]

    way = Way(lambda picture: opened(module, picture, preprocess), explain, at_a_time(module, batch_size), errors)
    return explain_each(images, {"question": question, "answer": answer}, way)


def _looked_at(module: Any, batch: Batch, questions: Sequence[str], layer: Layers) -> Batch:
    """The pictures with what the encoder gives for them, for all passes to come."""
    if not hasattr(module, "asked"):
        return with_kept(module, batch, layer, lambda x: module.answer_scores(x, questions))
    with module.asked([questions[0]] * len(questions)):  # alike, so that all pictures are seen together
        return with_kept(module, batch, layer, module.generate)


def _of_list(
    module: Any, batch: Batch, questions: Sequence[str], rows: Sequence[Sequence[Any]], wanted: AnswerScore, how: How
) -> list[list[Explanation]]:
    """Answers of a model that chooses from a list, several a picture."""

    def of(some: Batch, members: list[int]) -> list[list[Explanation]]:
        own = [questions[n] for n in members]
        return _readable(module, some, own, vqa.ask(module, some, own, [rows[n] for n in members], wanted), how).rows

    return in_groups(module, batch, [(len(row), None) for row in rows], of)


def _by_word(
    module: Any, batch: Batch, questions: Sequence[str], answers: Sequence[Any], wanted: AnswerScore, how: How
) -> list[QuestionExplanation]:
    """The same of the words of the questions, one answer a picture."""

    def of(some: Batch, members: list[int]) -> list[QuestionExplanation]:
        own = [questions[n] for n in members]
        asked = vqa.ask(module, some, own, [[answers[n]] for n in members], wanted, by_word=True)
        rows = _readable(module, some, own, asked, how, by_word=True).rows
        return [QuestionExplanation(text, tuple(row[1:]), row[0]) for text, row in zip(own, rows, strict=True)]

    words = [len(question.split()) for question in questions]
    return in_groups(module, batch, [((1 + count) ** 2, count) for count in words], of)


def _readable(
    module: Any, batch: Batch, questions: Sequence[str], asked: Asked, how: How, by_word: bool = False
) -> Explained:
    """What is asked, explained; a question that the model cannot read is told in the user's words."""
    try:
        return explanations(asked, how)
    except ExplainError:
        raise
    except ValueError as error:  # not in the model's forward, where it may mean other numbers of rows: these are tried
        raise vqa.unreadable(module, batch.x, questions, by_word, error) from error


def _written(
    module: Any, batch: Batch, questions: Sequence[str], answers: Sequence[Any], wanted: AnswerScore, how: How
) -> list[Explanation]:
    """Answers of a model that writes them: all words of one together, usually by their log-probability."""
    for text in (*answers, wanted.contrast):
        if text is not None and not isinstance(text, str):
            raise ExplainError(f"{type(module).__name__} writes its answers: give answer= and contrast= as texts.")
    contrast: Any = wanted.contrast

    def read(some: Batch, members: list[int]) -> list[Caption]:
        with module.asked([questions[n] for n in members]):
            captioning.check_captioner(module)
            given = None if answers[members[0]] is None else [answers[n] for n in members]
            rows = captioning.caption_tokens(module, some.x, given, some.kept)
            return [captioning.whole(module, row, contrast) for row in rows]

    # Those that the model is to write itself together, without a bound on their rows: nothing is recorded.
    texts = in_groups(module, batch, [(0, answer is None) for answer in answers], read)

    def of(some: Batch, members: list[int]) -> list[Explanation]:
        own = [questions[n] for n in members]
        with module.asked(own):
            asked = captioning.ask(module, some, [texts[n] for n in members], contrast, wanted.score or "log_prob")
            return [row[0] for row in explanations(_of_answers(module, asked, own, contrast), how).rows]

    return in_groups(module, batch, [(0, 0) if how.sweeps else text.size for text in texts], of)


def _of_answers(module: Any, asked: Asked, questions: Sequence[str], contrast: str | None) -> Asked:
    """What is asked of captions that are answers, told as such."""

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

    return replace(asked, label=label, computation=replace(whole, forward=forward))
