"""From a task's targets to maps, and from maps to Explanations: what all explain functions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcam import methods
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import Target
from mmcam.engine.tap import Forward
from mmcam.errors import ExplainError
from mmcam.explanation import Explanation
from mmcam.image import Batch, Geometry
from mmcam.methods import Maps, Question
from mmcam.methods.fusion import fuse
from mmcam.neurons.fingerprint import Origin
from mmcam.places import find


def compute(
    module: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    layer: str | Sequence[str] | None,
    method: str,
    options: Mapping[str, Any],
    call: int | None,
    fan: int = 1,
    language: bool = False,
    attention: Callable[[], Mapping[str, Tensor]] | None = None,
) -> tuple[Maps, str]:
    """The method's maps and the layer they were computed at, "pixels" or "attention" for a method that reads none."""
    how = methods.get(method)
    read: list[str] = []

    def where(name: str | None) -> str:
        if name is None:
            # A fan of text versions needs as many rows behind the encoder, so the trace sees the whole batch repeated.
            name = find.find_layer(module, lambda pictures: forward(pictures, 1), x.repeat(fan, 1, 1, 1))
        if name not in read:
            read.append(name)
        return name

    names = [layer] if layer is None or isinstance(layer, str) else list(layer)
    if not names:
        raise ExplainError("The list of layers is empty; name at least one.")
    for name in names:
        if name is not None:
            find_module(module, name)
    maps = [
        how(
            Question(
                module, forward, x, targets, partial(where, name), call, fan, language=language, attention=attention
            ),
            **options,
        )
        for name in names
    ]
    if len(maps) > 1 and not read:
        raise ExplainError(f"Method {method!r} reads no layer, so there is nothing to fuse; leave layer= out.")
    nowhere = "attention" if how.family == "attention" else "pixels"
    return (maps[0] if len(maps) == 1 else fuse(maps)), " + ".join(read) or nowhere


def explanation(
    maps: Maps,
    t: int,
    n: int,
    title: str,
    layer: str,
    method: str,
    module: nn.Module,
    batch: Batch,
    options: Mapping[str, Any],
    claim: str,
    context: str = "",
    sense: int = 1,
) -> Explanation:
    """Target t of picture n as an Explanation."""
    values = maps.values[t, n]
    weights = None if maps.weights is None else maps.weights[t, n]
    activations = None if maps.activations is None else maps.activations[n]
    return Explanation(
        target=title,
        score=float(maps.scores[t, n]),
        values=values,
        weights=weights,
        layer=layer,
        method=method,
        model=type(module).__name__,
        image=batch.pictures[n],
        geometry=batch.geometries[n],
        context=context,
        note=_note(values, batch.geometries[n], layer, title),
        options=dict(options),
        claim=claim,
        sense=-sense if options.get("counterfactual") else sense,
        activations=activations,
        origin=None if activations is None else Origin(module, layer),
    )


def quoted(text: str, rather_than: str | None = None) -> str:
    """A text in quotation marks, or two: “this” rather than “that”."""
    return f"“{text}”" if rather_than is None else f"“{text}” rather than “{rather_than}”"


def _note(values: Tensor, geometry: Geometry, layer: str, title: str) -> str:
    """Why a map points nowhere; "" where it does."""
    if not torch.isfinite(values).all():
        return f"The map of {title!r} holds values that are not finite: the score or its gradient overflows."
    cam = values if values.ndim == 2 else values.abs().amax(0)
    if not (cam > 0).any():
        return f"The map is empty: at {layer} nothing in the picture raises the score of {title!r}."
    # Only padding, or a picture smaller than its map, can hide what is positive.
    hiding = max(geometry.offset) > 0 or min(geometry.original) < max(cam.shape)
    if hiding and not (geometry.to_original(cam) > 0).any():
        return f"The map of {title!r} is empty over the picture: it is positive on the padding or between pixels only."
    return ""


def one_each(texts: str | Iterable[str], batch: Batch, what: str) -> list[str]:
    """One text a picture, repeated if it is one for all.

    Raises:
        ExplainError: something else than a text, or not one a picture.
    """
    one_for_all = isinstance(texts, str) or not isinstance(texts, Iterable)
    each: list[Any] = [texts] * len(batch.pictures) if one_for_all else list(texts)
    for text in each:
        if not isinstance(text, str):
            raise ExplainError(f"A {what} is a text, and {text!r} is none; pass one, or a list of one a picture.")
    if len(each) != len(batch.pictures):
        raise ExplainError(f"There are {len(batch.pictures)} pictures and {len(each)} {what}s; give one a picture.")
    return each
