"""Maps of a caption's words less what they share with the words before: TAM's context subtraction, on any map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import begun
from mmcam.errors import ExplainError
from mmcam.explain.explained import How, explanations_of, maps_of
from mmcam.explanation import Explanation
from mmcam.image import Batch
from mmcam.methods import Maps, get
from mmcam.methods.token_maps import less_context, rank_gaussian
from mmcam.tasks import captioning
from mmcam.tasks.captioning import Caption

OWN = ("tam",)
"""Methods that take the words before off by themselves."""


def check_context(model: Any, how: How, contrast: str | None) -> None:
    """Raise ExplainError where nothing can be taken off: `minus_context=True` of a captioner.

    Args:
        model: a captioner.
        how: the method.
        contrast: what might have been said instead.
    """
    method = get(how.method)
    if method.pixels:
        raise ExplainError(f"minus_context= is for maps over cells, and {how.method!r} gives one over pixels.")
    if how.method in OWN:
        raise ExplainError(f"Method {how.method!r} takes the words before off itself; leave minus_context= out.")
    if contrast is not None:
        raise ExplainError("A contrast takes another word off already; leave contrast= or minus_context= out.")
    if not hasattr(model, "token_logits"):
        raise ExplainError(
            f"{type(model).__name__} gives log-probabilities only; minus_context= needs a method token_logits (see "
            "mmcam.Captioner), which says how much each word before is about a word."
        )


def explained_minus_context(
    model: Any, batch: Batch, captions: Sequence[Caption], score: str, how: How
) -> list[list[Explanation]]:
    """The spans of captions explained, each map less the least-squares share of those of the words before it.

    The map of a word becomes ``rank_gaussian(less_context(ReLU(A), …))`` of `mmcam.methods.token_maps`. Words that
    are the same as one of the span's are left out of what comes before it, as TAM's authors do. r_j is ReLU of the
    score, before the softmax, that this word's tokens have at the places of the tokens of word j, the mean over them.

    Args:
        model: a captioner with `token_logits`.
        batch: the pictures.
        captions: one a picture, without rivals.
        score, how: as in `captioning.ask` and `explanations`.
    """
    each = [_before(model, caption) for caption in captions]
    asked = captioning.ask(model, batch, [caption for caption, _ in each], None, score)
    asked = replace(asked, targets=[range(len(caption.spans)) for caption in captions])
    maps, where = maps_of(asked, how)
    relevance = _relevance(model, batch, captions)
    positive = maps.values.float().relu()
    values = positive.clone()
    for n, (caption, (_, at)) in enumerate(zip(captions, each, strict=True)):
        words = [text.casefold() for text, _ in model.words(caption.tokens)]
        for t, span in enumerate(caption.spans):
            own = words[span.start : span.stop]
            earlier = [j for j in range(span.start) if words[j] not in own]
            shared = relevance[n][span.start : span.stop].mean(0)[earlier]
            values[t, n] = less_context(positive[t, n], positive[[at[j] for j in earlier], n], shared)
    how = replace(how, options={**how.options, "minus_context": True})
    made = explanations_of(asked, how, Maps(rank_gaussian(values), maps.scores), where).rows
    return [[_told(exp, bool(positive[t, n].any())) for t, exp in enumerate(row)] for n, row in enumerate(made)]


def _before(model: Any, caption: Caption) -> tuple[Caption, dict[int, int]]:
    """The caption with every word before one of its spans as a span, too; and which span each of these words is."""
    at = {span.start: t for t, span in enumerate(caption.spans) if len(span) == 1}
    more = [j for j in range(max(span.start for span in caption.spans)) if j not in at]
    spans = [*caption.spans, *(range(j, j + 1) for j in more)]
    return replace(caption, spans=spans), at | {j: len(caption.spans) + k for k, j in enumerate(more)}


def _relevance(model: Any, batch: Batch, captions: Sequence[Caption]) -> list[Tensor]:
    """Of each caption r (words, words): in row i how much the other words are about word i."""
    tokens = captioning.pad([caption.tokens for caption in captions], batch.x.device)
    with as_found(model), begun(batch.kept, model):
        logits: Tensor = model.token_logits(batch.x.clone(), tokens).float()
    each = []
    for n, caption in enumerate(captions):
        words = [places for _, places in model.words(caption.tokens)]
        scores = logits[n][:, tokens[n]].relu()  # (place, token)
        each.append(torch.stack([torch.stack([scores[q][:, p].mean() for q in words]) for p in words]))
    return each


def _told(exp: Explanation, some: bool) -> Explanation:
    """An explanation whose map the words before left empty, with a note that says so."""
    if not (exp.empty and some):
        return exp
    note = f"The map is empty: at {exp.layer} nothing raises the score of {exp.target!r} that the words before do not."
    return replace(exp, note=note)
