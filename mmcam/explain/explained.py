"""From what is asked and how to maps, and from maps to Explanations: what all explain functions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmcam import methods
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer
from mmcam.engine.modules import check_recordable, each_layer, layer_name
from mmcam.engine.outputs import score_of
from mmcam.errors import ExplainError, IndependentError
from mmcam.explanation import Explanation, Explanations
from mmcam.image import Geometry
from mmcam.methods import Maps, Question
from mmcam.methods.fusion import check_fusion, fuse
from mmcam.methods.registry import Fusion
from mmcam.neurons.fingerprint import Origin
from mmcam.places.find import find_layer, find_layer_of
from mmcam.places.survey import layer_at, surveyed
from mmcam.tasks.asked import Asked
from mmcam.tasks.saturation import saturation

Layers = str | nn.Module | Sequence[str | nn.Module] | None
"""A layer by its dotted name or as the module itself, several whose maps are fused, or None for the default one."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class How:
    """How maps are made.

    Attributes:
        layer: one, several whose maps are fused, or None for the default.
        method: a name of ``mmcam.METHODS``.
        call: which run of a layer that runs several times in one forward, from 0.
        options: of the method.
        fuse: how the maps of several layers become one.
    """

    layer: Layers = None
    method: str = "gradcam"
    call: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fuse: Fusion = "max"

    @property
    def sweeps(self) -> bool:
        """Many changed pictures go through the model, and everything that is asked of a picture shares them."""
        return methods.get(self.method).family == "perturbation"


def as_list(results: Iterable[Result]) -> Explanations[Result]:
    """Several results, as all functions hand them out."""
    return Explanations(results)


@dataclass(frozen=True)
class Explained:
    """The explanations of a batch, those of each picture in a row."""

    rows: list[list[Explanation]]
    listed: Sequence[bool]
    single: bool

    def as_listed(self) -> Any:
        """Of each picture a list where a list was asked for, else its one; alone where one picture was given."""
        each: list[Any] = [as_list(row) if many else row[0] for row, many in zip(self.rows, self.listed, strict=True)]
        return each[0] if self.single else as_list(each)


@dataclass(frozen=True)
class Where:
    """What maps were computed at.

    Attributes:
        layer: the layer's name, those of several, or "pixels", "attention" or "tokens" for a method that reads none.
        cells: how it is known where the layer's cells lie; "" for a method that reads none.
        each: the names of several layers whose maps are fused.
    """

    layer: str
    cells: str = ""
    each: Sequence[str] = ()


def explanations(asked: Asked, how: How) -> Explained:
    """Everything that is asked, explained."""
    return explanations_of(asked, how, *maps_of(asked, how))


def explanations_of(asked: Asked, how: How, maps: Maps, where: Where) -> Explained:
    """The explanations of maps that were made (see `maps_of`)."""
    rows = [[_explanation(asked, how, maps, where, t, n) for t in own] for n, own in enumerate(asked.targets)]
    return Explained(rows, asked.listed or [False] * len(rows), asked.batch.single)


def maps_of(asked: Asked, how: How) -> tuple[Maps, Where]:
    """The method's maps and what they were computed at.

    Where the model's last layer has no say in what is asked, the default is the last one that has: an actor and a
    critic may have encoders of their own.
    """
    method, read = methods.get(how.method), list[Layer]()
    c = asked.computation
    wanted = [None] if how.layer is None else [layer_name(c.model, given) for given in each_layer(how.layer)]
    check_fusion(how.fuse, len(wanted))

    @cache  # a method may ask in every chunk, and to find it may take a pass through the model
    def place(given: str | None) -> Layer:
        if len(c.rows()) == 1 and not surveyed(c.model, c.x):  # of a batch, the graph would take too much memory
            _check_targets(c)
        found = find_layer(c.model, c.alone, c.x, c) if given is None else given
        return layer_at(c.model, c.alone, c.x, found, how.call)

    def where(given: str | None) -> Layer:
        layer = place(given)
        if layer not in read:
            read.append(layer)
        return layer

    try:
        wheres = [partial(where, given) for given in wanted]
        own = [wheres] if method.several else [[each] for each in wheres]
        maps = [method(_question(asked, how, *each), **how.options) for each in own]
    except IndependentError as error:
        other = find_layer_of(c, c.targets[:1]) if how.layer is None and read else None
        if other is None or other in [layer.name for layer in read]:
            raise saturation(c) or error from error
        return maps_of(asked, replace(how, layer=other))
    if how.layer is None and read and _some_without_gradient(maps[0]):
        common = find_layer_of(c, c.targets)
        if common is not None and common != read[0].name:
            return maps_of(asked, replace(how, layer=common))
    if len(wanted) > 1 and not read:
        raise ExplainError(f"Method {how.method!r} reads no layer, so there is nothing to fuse; leave layer= out.")
    nowhere = method.family if method.family in ("attention", "tokens") else "pixels"
    names = {"max": " + ", "product": " × "}[how.fuse].join(layer.name for layer in read) or nowhere
    cells = " + ".join(dict.fromkeys(layer.cells for layer in read))
    each = [layer.name for layer in read] if len(wanted) > 1 else []
    return (maps[0] if len(maps) == 1 else fuse(maps, how.fuse)), Where(names, cells, each)


def _some_without_gradient(maps: Maps) -> bool:
    """Whether all weights of a target are zero beside others that have some: it may hang on another layer."""
    if maps.weights is None or len(maps.weights) == 1:
        return False
    return not bool(maps.weights.flatten(1).any(1).all())


def _check_targets(c: Computation) -> None:
    """Raise what is wrong with a target before its layer is looked for, which may take many passes."""
    check_recordable(c.model)
    with as_found(c.model), torch.enable_grad():  # autograd tells what is computed from what
        output = c.forward(c.rows().per_text(c.x), c.rows())
        for target in c.targets:
            score_of(target, output, c.pictures)


def _question(asked: Asked, how: How, where: Callable[[], Layer], *others: Callable[[], Layer]) -> Question:
    c = asked.computation
    return Question(
        c.model, c.forward, c.x, c.targets, c.texts,
        kept=asked.batch.kept, where=where, others=others, fuse=how.fuse,
        language=asked.language, attention=asked.attention, token_activations=asked.token_activations,
        head_attention=asked.head_attention,
    )  # fmt: skip


def _explanation(asked: Asked, how: How, maps: Maps, where: Where, t: int, n: int) -> Explanation:
    """Target t of picture n as an Explanation."""
    # Copies: a view would keep the maps of the whole batch for as long as one explanation is kept.
    values, weights = maps.values[t, n].clone(), None if maps.weights is None else maps.weights[t, n].clone()
    activations = None if maps.activations is None else maps.activations[n].clone()
    geometry, score = asked.batch.geometries[n], float(maps.scores[t, n])
    label, model, layer = asked.label(t, n, score), asked.computation.model, where.layer
    positive = [] if maps.positive is None else maps.positive[:, t, n].tolist()
    blame = _to_blame(where, positive) if how.fuse == "product" else layer
    return Explanation(
        target=label.target,
        score=score,
        values=values,
        weights=weights,
        layer=layer,
        method=how.method,
        model=type(model).__name__,
        image=asked.batch.pictures[n],
        geometry=geometry,
        context=label.context,
        note=" ".join(filter(None, (_note(values, geometry, blame, label.target), *asked.batch.notes[n : n + 1]))),
        options={**how.options, **({"fuse": how.fuse} if where.each else {})},
        claim=label.claim,
        sense=-label.sense if how.options.get("counterfactual") else label.sense,
        activations=activations,
        origin=None if activations is None else Origin(model, layer),
        scored=label.scored,
        cells=where.cells,
        prediction=label.prediction,
        preparation="".join(asked.batch.preparations[n : n + 1]),
        region=label.region,
        candidate=label.candidate,
    )


def _to_blame(where: Where, positive: Sequence[bool]) -> str:
    """Of several layers whose maps are multiplied, those that make the product empty if it is."""
    empty = [name for name, some in zip(where.each, positive, strict=True) if not some]
    return " and ".join(empty) or f"the same places of {' and '.join(where.each)}"


def _note(values: Tensor, geometry: Geometry, layer: str, title: str) -> str:
    """Why a map points nowhere; "" where it does."""
    if not torch.isfinite(values).all():
        return f"The map of {title!r} holds values that are not finite: the score or its gradient overflows."
    cam = values if values.ndim == 2 else values.abs().amax(0)
    if cam.numel() == 1:
        return f"The map of {title!r} is a single cell: {layer} does not tell places apart; choose an earlier layer."
    if not (cam > 0).any():
        return f"The map is empty: at {layer} nothing in the picture raises the score of {title!r}."
    # Only padding, or a picture smaller than its map, can hide what is positive.
    hiding = max(geometry.offset) > 0 or min(geometry.original) < max(cam.shape)
    if hiding and not (geometry.to_original(cam) > 0).any():
        return f"The map of {title!r} is empty over the picture: it is positive on the padding or between pixels only."
    return ""
