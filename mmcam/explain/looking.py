"""Look at a picture once and ask many things: what the encoder gave is kept in the picture's place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

from torch import Tensor, nn

from mmcam.engine.kept import Kept, keep
from mmcam.engine.modules import layer_name, unwrap
from mmcam.errors import ExplainError
from mmcam.explain.chunks import Errors, Way, explain_each
from mmcam.explain.explained import Layers
from mmcam.explain.stock import stock_question
from mmcam.explanation import Explanations
from mmcam.image import Batch
from mmcam.looked import Looked, Pictured, opened
from mmcam.places.find import find_layer, remembered
from mmcam.tasks.anything import forward_of, has_forward

_TEXTS = ("answer_scores", "token_log_probs", "similarity", "asked")
"""What models offer that read texts, too."""


@overload
def look(  # type: ignore[overload-overlap]
    model: nn.Module,
    images: Pictured,
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
) -> Looked: ...
@overload
def look(
    model: nn.Module,
    images: Sequence[Pictured],
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
) -> Explanations[Looked]: ...
@overload
def look(
    model: nn.Module,
    images: Iterable[Any],
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
) -> Iterator[Looked]: ...
@overload
def look(
    model: nn.Module,
    images: Iterable[Any],
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    batch_size: int | None = None,
    errors: Literal["skip"],
) -> Any: ...
def look(
    model: Any,
    images: Any,
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
) -> Any:
    """Look at pictures once, for many questions: the result stands in a picture's place.

    Another word, caption, answer or class then costs no pass through the encoder up to the layer. An explanation at an
    earlier layer, by another model, or by a method that looks at the pixels, computes what it needs as usual.

    Args:
        model: a classifier, or a model that names its encoder in an attribute ``picture_encoder`` (see
            `mmcam.Captioner`); the bundled models and those of `mmcam.wrap` do.
        images: a picture, a list or a stream of them, as in `explain_class`.
        layer: up to which the encoder's outputs are kept; default the one that is explained by default. Explanations at
            layers behind it are served, too.
        preprocess, batch_size, errors: as in `explain_class`.

    Returns:
        A `Looked`; a list of them for a list of pictures; an iterator for a stream.

    Raises:
        ExplainError: the model does not say which module sees its pictures; nothing can be kept at the layer, as it
            does not lie inside that.
        PictureError: a picture that cannot be used.

    Example:
        >>> photo = mmcam.look(captioner, "photo.jpg")
        >>> for word in ("dog", "ball"):
        ...     mmcam.explain_caption(captioner, photo, word).save(f"{word}.png")
    """
    module = unwrap(model)
    encoder = _encoder_of(module)

    def explain(batch: Batch) -> list[Looked]:
        name = _default(module, batch) if layer is None else layer_name(module, layer)
        rows = [
            replace(batch.rows([n]), kept=(kept,)) for n, kept in enumerate(_each_kept(module, batch.x, encoder, name))
        ]
        return [Looked(row.pictures[0], name, row, preprocess) for row in rows]

    return explain_each(
        images, {}, Way(lambda picture: opened(module, picture, preprocess), explain, batch_size, errors)
    )


def looked_at(model: Any, picture: Any, layers: Layers | Sequence[Layers], preprocess: Any = None) -> Any:
    """A picture of which several things will be asked, looked at once; as it is where nothing can be kept of it.

    Args:
        model, preprocess: as in `look`.
        picture: one.
        layers: that will be explained; of several it is not known which comes first, so nothing is kept.
    """
    each: list[Any] = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if len(each) != 1 or isinstance(each[0], (list, tuple)) or isinstance(picture, Looked):
        return picture
    try:
        return look(model, picture, layer=each[0], preprocess=preprocess)
    except ExplainError:  # what is wrong with the layer, if anything is, the explanation tells
        return picture


def _encoder_of(model: nn.Module) -> str:
    """The name of what sees the pictures alone; "" for a model that reads nothing else.

    Raises:
        ExplainError: the model does not say.
    """
    named = getattr(model, "picture_encoder", None)
    if isinstance(named, str):
        return named
    if any(hasattr(model, name) for name in _TEXTS) or not has_forward(model):
        raise ExplainError(
            f"{type(model).__name__} does not say which of its modules sees the pictures and nothing else; give it an "
            "attribute picture_encoder with that module's dotted name, or pass the pictures as they are."
        )
    return ""


def _default(model: nn.Module, batch: Batch) -> str:
    """The layer that is explained by default."""
    known = remembered(model, batch.x)
    if known:
        return known
    c = stock_question(model, batch.rows([0])).computation
    return find_layer(c.model, c.alone, c.x, c)


def _each_kept(model: nn.Module, x: Tensor, encoder: str, layer: str) -> list[Kept]:
    """What is kept of each picture, so that one can be let go without the others.

    Together only where the model says that each picture is seen by itself.

    Raises:
        ExplainError: nothing can be kept at the layer.
    """
    together = keep(model, forward_of(model), x, encoder, layer) if encoder else None
    if together is not None and len(x) == 1:
        return [together]
    if together is not None and together.by_row:
        return [together.row(n) for n in range(len(x))]
    each = [keep(model, forward_of(model), one, encoder, layer) for one in x.split(1)]
    found = [kept for kept in each if kept is not None]
    if len(found) < len(each):
        raise ExplainError(
            f"Nothing can be kept at layer {layer!r} of {type(model).__name__}: it does not lie in "
            f"{repr(encoder) if encoder else 'what can be taken up again'}, which sees the pictures; name another one, "
            "or pass the pictures as they are."
        )
    return found
