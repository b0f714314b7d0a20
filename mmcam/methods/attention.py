"""The model's own soft attention as a map, to be set beside what the gradient says."""

from __future__ import annotations

import torch

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import begun
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.variants import picture_scores


@register(
    "attention",
    "Xu et al., Show, Attend and Tell, arXiv 1502.03044, eq. 5; Yang et al., arXiv 1511.02274, eq. 16; "
    "Lu et al., arXiv 1606.00061, eqs. 4 and 6",
    family="attention",
    cost="2 forwards",
    needs="a captioner or VQA model with a method `attention` (see mmcam.Captioner and mmcam.VQAModel)",
)
def attention(question: Question, *, level: str = "") -> Maps:
    """Where the model says it looked: its attention to the regions of the picture, as it is, without any gradient.

    A word's map is that of the step before the word was said (the mean over its tokens); an answer's map is the same
    for every answer to the question. Attention is not negative and sums to 1.

    Args:
        question: of a model with attention.
        level: one of the model's levels ("layer 2", "hop 1", "phrase"), or "mean" of all; default the last.

    Raises:
        ExplainError: the model has no attention, or no such level; a contrast or `by_word=`, which attention knows
            nothing of.
    """
    if question.attention is None:
        raise ExplainError(
            f"{type(question.model).__name__} shows no attention of its own; a captioner or VQA model with a method "
            "`attention` does, and method='gradcam' needs none."
        )
    if question.texts > 1:
        raise ExplainError("Attention compares no two versions of a text; leave contrast= and by_word= out.")
    with as_found(question.model), begun(question.kept, question.model):
        levels = question.attention()
    if level == "mean":
        values = torch.stack(list(levels.values())).mean(0)
    elif level and level not in levels:
        raise ExplainError(f"The attention has no level {level!r}; there are {', '.join(levels)} and mean.")
    else:
        values = levels[level or list(levels)[-1]]
    return Maps(values.float(), picture_scores(question, question.x[None])[:, 0])
