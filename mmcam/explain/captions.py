"""Which part of a picture made a captioner say a word, or each word?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import CaptionExplanation, Explanation
from mmcam.image import Batch, PictureLike
from mmcam.methods.registry import Fusion
from mmcam.preparation import batch_of
from mmcam.tasks import captioning
from mmcam.tasks.asked import one_each
from mmcam.tasks.words import check_asked


@overload
def explain_caption(
    model: nn.Module,
    images: PictureLike,
    word: None = None,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> CaptionExplanation: ...
@overload
def explain_caption(
    model: nn.Module,
    images: PictureLike,
    word: str | int,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation: ...
@overload
def explain_caption(
    model: nn.Module,
    images: PictureLike,
    word: None = None,
    *,
    caption: None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: PictureLike,
    word: str | int | None = None,
    *,
    caption: str | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int | None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation | CaptionExplanation | list[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Sequence[PictureLike],
    word: None = None,
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[CaptionExplanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Sequence[PictureLike],
    word: str | int,
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[Explanation]: ...
@overload
def explain_caption(
    model: nn.Module,
    images: Sequence[PictureLike],
    word: None = None,
    *,
    caption: None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[list[CaptionExplanation]]: ...
@torch.inference_mode(False)
def explain_caption(
    model: Any,
    images: Any,
    word: str | int | None = None,
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    beam: int | None = None,
    score: str = "log_prob",
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made a captioner say a word, or each word.

    The score is the sum of the teacher-forced log-probabilities of the word's tokens; the end token is left out.

    Args:
        model: a captioner (see `mmcam.Captioner`).
        images: a picture or a list of them (see `mmcam.image.prepare`).
        word: a word ("dogs" finds "dog"), a phrase of neighbouring words, a position, or None for every word.
        caption: the caption to explain, one for all pictures or one each; default the one the model generates.
        contrast: a word or phrase the model might have said there instead; the score becomes the difference of both.
        position: which occurrence of `word`; or where to score a word that the caption does not hold, in place of the
            word standing there.
        beam: explain the likeliest so many captions that the model's own search finds, all words of each; needs a
            captioner with `beams`, which says how wide it searches.
        score: what of a word is explained: "log_prob", "logit", "prob", "entropy" or one that was registered with
            `mmcam.register_score`; all but the first need a captioner with `token_logits`.
        layer, fuse, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation of the word, or a CaptionExplanation if `word` is None; a list of them for a list of pictures.
        With `beam=`, a list of CaptionExplanations for each picture, the likeliest first. All words of a caption share
        one pass through the encoder.

    Raises:
        ExplainError: a word that is not in the caption (the message shows the caption and its nearest words); a
            contrast that is the word itself; a score the model does not give.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    captioning.check_captioner(module)
    if word is None and (contrast is not None or position is not None):
        raise ExplainError("contrast= and position= belong to one word; name it with word=.")
    if word is not None:
        word, position, contrast = check_asked(word, position, contrast)
    if beam is not None and (word is not None or caption is not None):
        raise ExplainError("beam= explains every word of the captions it finds; leave word= and caption= out.")
    batch, how = batch_of(module, images, preprocess), How(layer, method, call, options, fuse)
    if beam is not None:
        return _beams(module, batch, beam, score, how)
    given = None if caption is None else one_each(caption, batch, "caption")
    rows = captioning.caption_tokens(module, batch.x, given)
    if word is None:
        captions = [captioning.every_word(module, row) for row in rows]
    else:
        captions = [captioning.one_word(module, row, word, position, contrast) for row in rows]
    made = explanations(captioning.ask(module, batch, captions, contrast, score), how)
    return made.per_picture(_caption_explanation) if word is None else made.as_listed()


def _beams(module: Any, batch: Batch, beam: int, score: str, how: How) -> Any:
    """Every word of the captions of a beam search, a list of them for each picture."""
    found = captioning.beam_tokens(module, batch.x, beam)
    owners = [n for n, rows in enumerate(found) for _ in rows]
    repeated = Batch(
        batch.x[owners],
        [batch.pictures[n] for n in owners],
        [batch.geometries[n] for n in owners],
        False,
        [batch.notes[n] for n in owners],
    )
    captions = [captioning.every_word(module, row) for rows in found for row in rows]
    made = explanations(captioning.ask(module, repeated, captions, None, score), how).per_picture(_caption_explanation)
    grouped = [[made[i] for i, owner in enumerate(owners) if owner == n] for n in range(len(found))]
    return grouped[0] if batch.single else grouped


def _caption_explanation(words: list[Explanation]) -> CaptionExplanation:
    """Of every word, and last of all of them together."""
    return CaptionExplanation(words[-1].context, tuple(words[:-1]), words[-1])
