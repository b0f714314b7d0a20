"""One picture, several targets, methods or layers: a table of maps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.explain.answers import explain_answer
from mmcam.explain.captions import explain_caption
from mmcam.explain.classes import explain_class
from mmcam.explain.explained import Layers
from mmcam.explain.looking import looked_at
from mmcam.explain.similarities import explain_similarity
from mmcam.explanation import CaptionExplanation, Explanation, Explanations
from mmcam.image import load_image
from mmcam.looked import Pictured
from mmcam.tasks.captioning import Captioner


def compare(
    model: nn.Module,
    picture: Pictured,
    targets: Any = None,
    *,
    question: str | None = None,
    methods: str | Sequence[str] = "gradcam",
    layers: Layers | Sequence[Layers] = None,
    **options: Any,
) -> Explanations[Any]:
    """Explain one picture several ways, beside each other.

    ``mmcam.compare(model, "photo.jpg", ["tabby", "boxer"], methods=["gradcam", "layercam"]).save("figure.pdf")``

    All targets of one method and layer share a pass through the encoder, and so do several methods at one layer.

    Args:
        model: a classifier, a captioner, with `question` a VQA model, or one that compares pictures and texts.
        picture: as in `mmcam.explain_class`.
        targets: one or a list: classes, words of the caption, answers, or texts. Default what the model says: its best
            class, each word of its caption, its answer.
        question: about the picture.
        methods: one or a list, names of `mmcam.METHODS`.
        layers: one or a list; a list in the list is fused. Methods that read no layer have one map for all.
        options: what else the explain function takes: ``contrast``, ``caption``, ``names``, ``preprocess``, and options
            that all the methods have.

    Returns:
        A list of Explanations if one of the three varies, else a table: rows of targets and columns of methods or
        layers, rows of methods and columns of layers, or, if all three vary, a row for each target and method. It shows
        itself in a notebook, and has ``figure()`` and ``save()``.

    Raises:
        ExplainError: no target, method or layer; what the explain function refuses.
        PictureError: a picture that cannot be used.

    Example:
        >>> table = mmcam.compare(model, picture, ["dog", "cat"], methods=["gradcam", "layercam"])
        >>> table[0][1].method
        'layercam'
    """
    if isinstance(picture, (str, os.PathLike)):
        picture = load_image(picture)  # once
    ways = _list(methods, "methods"), _list(layers, "layers")
    if len(ways[0]) > 1:
        picture = looked_at(model, picture, ways[1], options.get("preprocess"))
    explain = _explainer(model, picture, targets, question)
    made = [list(_layers(partial(explain, method=method, **options), ways[1])) for method in ways[0]]
    image = made[0][0][0].image  # for all, which else would each keep a copy
    return _arranged([[[replace(exp, image=image) for exp in at] for at in layers] for layers in made])


def _explainer(
    model: nn.Module, picture: Any, targets: Any, question: str | None
) -> Callable[..., Sequence[Explanation]]:
    """What explains the targets, a list of Explanations at a time."""
    wanted = None if targets is None else _list(targets, "targets")
    module: Any = unwrap(model)
    explain: Callable[..., Any]
    if question is not None:
        explain = partial(explain_answer, model, picture, question, wanted)
    elif isinstance(module, Captioner):
        explain = partial(explain_caption, model, picture, wanted)
    elif hasattr(module, "similarity"):
        if wanted is None:
            raise ExplainError("A model that compares pictures and texts says nothing itself; give texts as targets=.")
        explain = partial(explain_similarity, model, picture, wanted)
    else:
        explain = partial(explain_class, model, picture, wanted)

    def listed(**options: Any) -> Sequence[Explanation]:
        made = explain(**options)
        return [made] if isinstance(made, Explanation) else made.words if isinstance(made, CaptionExplanation) else made

    return listed


def _list(values: Any, name: str) -> list[Any]:
    """One value or a list of them as a list; modules, texts and functions are one value.

    Raises:
        ExplainError: an empty list.
    """
    several = isinstance(values, Sequence) and not isinstance(values, (str, nn.Module))
    if several and not len(values):
        raise ExplainError(f"{name}= is empty, so there is nothing to compare; leave it out or name some.")
    return list(values) if several else [values]


def _layers(explain: Callable[..., Sequence[Explanation]], layers: Sequence[Layers]) -> Iterator[Sequence[Explanation]]:
    """The targets' explanations at each layer; of a method that reads none, once."""
    for layer in layers:
        made = explain(layer=layer)
        yield made
        if not any(exp.cells for exp in made):
            return


def _arranged(made: Sequence[Sequence[Sequence[Explanation]]]) -> Explanations[Any]:
    """Of each method, layer and target an Explanation as a list or a table.

    Args:
        made: methods × layers × targets.
    """
    targets, many_layers = range(len(made[0][0])), max(map(len, made)) > 1
    if len(targets) > 1 and not (len(made) > 1 and many_layers):
        rows = [[at[t] for layers in made for at in layers] for t in targets]
    else:
        rows = [[at[t] for at in layers] for t in targets for layers in made]
    if len(rows) == 1:
        return Explanations(rows[0])
    if max(map(len, rows)) == 1:
        return Explanations([row[0] for row in rows])
    return Explanations([Explanations(row) for row in rows])
