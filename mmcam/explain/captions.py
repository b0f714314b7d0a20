"""Which part of a picture made a captioner say a word, or each word?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.explain.chunks import Errors, Way, at_a_time, explain_each, in_groups, per_owner
from mmcam.explain.context import check_context, explained_minus_context
from mmcam.explain.explained import How, Layers, as_list, explanations
from mmcam.explanation import CaptionExplanation, Explanation, Explanations
from mmcam.image import Batch
from mmcam.looked import Pictured, opened, with_kept
from mmcam.methods.registry import Fusion
from mmcam.tasks import captioning
from mmcam.tasks.asked import one_text, several
from mmcam.tasks.captioning import Caption
from mmcam.tasks.targets import is_list
from mmcam.tasks.words import check_where, check_word


@overload
def explain_caption(
    model: nn.Module,
    images: Pictured,
    word: None = None,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> CaptionExplanation: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Pictured,
    word: str | int,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
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
def explain_caption(
    model: nn.Module,
    images: Pictured,
    word: Sequence[str | int],
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
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
def explain_caption(
    model: nn.Module,
    images: Pictured,
    word: None = None,
    *,
    caption: None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Pictured,
    word: str | int | None = None,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int | None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation | CaptionExplanation | Explanations[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Sequence[Pictured],
    word: None = None,
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Sequence[Pictured],
    word: str | int | Sequence[str | int],
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
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
def explain_caption(
    model: nn.Module,
    images: Sequence[Pictured],
    word: Sequence[Sequence[str | int]],
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
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
def explain_caption(
    model: nn.Module,
    images: Sequence[Pictured],
    word: None = None,
    *,
    caption: None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanations[CaptionExplanation]]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Iterable[Any],
    word: None = None,
    *,
    caption: str | Iterable[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Iterable[Any],
    word: str | int | Iterable[str | int],
    *,
    caption: str | Iterable[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    minus_context: bool = False,
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
def explain_caption(
    model: nn.Module,
    images: Iterable[Any],
    word: Any = None,
    *,
    caption: Any = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int | None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["skip"],
    **options: Any,
) -> Any: ...
def explain_caption(
    model: Any,
    images: Any,
    word: Any = None,
    *,
    caption: Any = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int | None = None,
    score: str = "log_prob",
    minus_context: bool = False,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture made a captioner say a word, or each word.

    The score is the sum of the teacher-forced log-probabilities of the word's tokens; the end token is left out.

    Args:
        model: a captioner (see `mmcam.Captioner`).
        images: a picture, a list or a stream of them, as in `explain_class`.
        word: a word ("dogs" finds "dog"), a phrase of neighbouring words, a position, or None for every word. For one
            picture, a list asks for several words; for several pictures, a list holds one entry a picture, each a word
            or a list of them.
        caption: the caption to explain, one for all pictures or one each; default the one the model generates.
        contrast: a word or phrase the model might have said there instead; the score becomes the difference of both.
        position: which occurrence of `word`; or where to score a word that the caption does not hold, in place of the
            word standing there.
        beam: explain the likeliest so many captions that the model's own search finds, all words of each; needs a
            captioner with `beams`, which says how wide it searches.
        score: what of a word is explained: "log_prob", "logit", "prob", "entropy" or one that was registered with
            `mmcam.register_score`; all but the first need a captioner with `token_logits`.
        minus_context: take off each map the least-squares share of those of the words before, and smooth it, as TAM
            does (see `mmcam.methods.token_maps`); needs a captioner with `token_logits`. Has no weights, so no `why`.
        layer, fuse, method, call, options: as in `attribute`.
        preprocess, batch_size, errors: as in `explain_class`.

    Returns:
        An Explanation of the word, or a CaptionExplanation if `word` is None; a list of them for a list of pictures or
        of words, nested if both; an iterator for a stream. With `beam=`, a list of CaptionExplanations for each
        picture, the likeliest first. All words of a caption share one pass through the encoder.

    Raises:
        ExplainError: a word that is not in the caption (the message shows the caption and its nearest words); a
            contrast that is the word itself; a score the model does not give.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    captioning.check_captioner(module)
    _check_together(word, caption, contrast, position, beam)
    if word is not None:
        position, contrast = check_where(position, contrast, alone=not is_list(word))
    how = How(layer, method, call, options, fuse)
    if minus_context:
        check_context(module, how, contrast)

    def made_of(batch: Batch, captions: Sequence[Caption]) -> list[list[Explanation]]:
        if minus_context:
            return explained_minus_context(module, batch, captions, score, how)
        return explanations(captioning.ask(module, batch, captions, contrast, score), how).rows

    def rows_of(batch: Batch, captions: Sequence[Caption]) -> list[list[Explanation]]:
        def of(some: Batch, members: list[int]) -> list[list[Explanation]]:
            return made_of(some, [captions[n] for n in members])

        # Inside a block of the user's `asked`, the model has a question for each picture of the batch as it is.
        whole = hasattr(module, "asked") and getattr(module, "_questions", ()) is not None
        together = whole or how.sweeps
        return in_groups(module, batch, [(0, 0) if together else caption.size for caption in captions], of)

    def explain(batch: Batch, words: Sequence[Any], texts: Sequence[Any]) -> list[Any]:
        several_passes = contrast is not None or minus_context or method == "attention"
        if caption is None or several_passes:
            batch = with_kept(module, batch, layer, module.generate)
        if beam is not None:
            return _beams(module, batch, beam, made_of)
        given = None if caption is None else [one_text(text, "caption") for text in texts]
        tokens = captioning.caption_tokens(module, batch.x, given, batch.kept)
        if word is None:
            every = [captioning.every_word(module, row) for row in tokens]
            return [_caption_explanation(row) for row in rows_of(batch, every)]
        wanted = [[check_word(one) for one in several(entry, "word")] for entry in words]
        captions = [
            captioning.several_words(module, row, own, position, contrast)
            for row, own in zip(tokens, wanted, strict=True)
        ]
        owners = [n for n, own in enumerate(captions) for _ in own]
        made = rows_of(batch.rows(owners), [one for own in captions for one in own])
        joined = [[exp for row in own for exp in row] for own in per_owner(made, owners, len(words))]
        return [as_list(own) if is_list(entry) else own[0] for own, entry in zip(joined, words, strict=True)]

    way = Way(lambda picture: opened(module, picture, preprocess), explain, at_a_time(module, batch_size), errors)
    return explain_each(images, {"word": word, "caption": caption}, way)


def _check_together(word: Any, caption: Any, contrast: Any, position: Any, beam: Any) -> None:
    """Raise ExplainError for arguments of which one leaves no room for the other."""
    if word is None and (contrast is not None or position is not None):
        raise ExplainError("contrast= and position= belong to one word; name it with word=.")
    if beam is not None and (word is not None or caption is not None):
        raise ExplainError("beam= explains every word of the captions it finds; leave word= and caption= out.")


def _beams(module: Any, batch: Batch, beam: int, made_of: Callable[..., list[list[Explanation]]]) -> list[Any]:
    """Every word of the captions of a beam search, a list of them for each picture."""
    found = captioning.beam_tokens(module, batch.x, beam, batch.kept)
    owners = [n for n, rows in enumerate(found) for _ in rows]
    captions = [captioning.every_word(module, row) for rows in found for row in rows]
    rows = made_of(batch.rows(owners), captions)
    return [as_list(own) for own in per_owner([_caption_explanation(row) for row in rows], owners, len(found))]


def _caption_explanation(words: list[Explanation]) -> CaptionExplanation:
    """Of every word, and last of all of them together."""
    return CaptionExplanation(words[-1].context, tuple(words[:-1]), words[-1])
