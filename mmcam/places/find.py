"""Find the layer to explain: the last one that still shows where things are, and has a say in what comes out."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer, Size
from mmcam.engine.modules import check_recordable, find_module
from mmcam.engine.outputs import picture_of
from mmcam.engine.run import run
from mmcam.engine.weights import untrained
from mmcam.errors import ExplainError, IndependentError
from mmcam.places.survey import Spot, Survey, layer_at, measure, spots, survey, unmeasured
from mmcam.places.trace import Call, Run, trace


@dataclass(frozen=True)
class _Default:
    """The default layer, and those behind it that have as many channels as the output, which may be the answer.

    Attributes:
        name: "" where there are only the latter.
        scores: their names, in the order they ran.
    """

    name: str
    scores: tuple[str, ...] = ()


_found: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], _Default]] = weakref.WeakKeyDictionary()


def spatial(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, scores: frozenset[int] | None = None
) -> list[Spot]:
    """The runs a map can be drawn at: larger than 1×1, of modules that ran once, not a pooling's output.

    Maps of scores are left out: a last convolution with one channel a class, averaged to the output, is the answer
    itself rather than what it was computed from.

    Args:
        model, forward, x: as in `find_layer`.
        scores: numbers of channels that a map of scores has; default those of the last module's output, if it is one
            number a channel.
    """
    known = survey(model, forward, x)
    measure(model, forward, x, known)
    return _spatial(model, known, scores)


def _spatial(model: nn.Module, known: Survey, scores: frozenset[int] | None = None) -> list[Spot]:
    """The same of what is known without another measurement."""
    calls = [call for call in known.calls if not call.passing]
    if scores is None:
        out = calls[-1].shape if calls else ()
        scores = frozenset(out[1:2]) if len(out) == 2 or (len(out) == 4 and out[2:] == (1, 1)) else frozenset()
    often = {call.name for call in calls if call.run}
    return [
        spot
        for spot in spots(model, known)
        if min(spot.map[1:]) > 1 and spot.map[0] not in scores and not spot.call.pooled and spot.call.name not in often
    ]


def find_layer(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, computation: Computation | None = None
) -> str:
    """Name of the default layer, from a traced forward; remembered for the model and the input's size.

    Of a convolutional network it is the last spatial layer before pooling. Of a network that goes on with tokens it is
    the last block or normalisation whose patches have a say: in a vision transformer with a class token, nothing but
    that token leaves the last block, so its output has no gradient at the patches, and the normalisation before the
    last attention is taken. To see that, the forward is run once more with gradients. A model may name the layer
    itself, in an attribute ``explain_layer``.

    A map with as many channels as the output may be the answer itself: the scores of a segmentation, a depth, the class
    maps of a fully convolutional network. A target that reads one or two channels of it would only be shown those
    channels, so an earlier layer is taken; one that reads many was computed from it. The first target of `computation`
    counts; without one it is left out.

    Raises:
        ExplainError: no layer gives a map, or none has a say in what comes out.
    """
    named = getattr(model, "explain_layer", None)
    if isinstance(named, str):
        find_module(model, named)
        return named
    known, size = _found.setdefault(model, {}), tuple(x.shape[1:])
    if size not in known:
        known[size] = _default(model, forward, x)
    default = known[size]
    if computation is not None:
        for name in reversed(default.scores):
            if _reads_many_channels(computation, layer_at(model, forward, x, name)):
                return name
    if not default.name:
        raise ExplainError(
            f"The only maps of {type(model).__name__} have one channel an output, as its answer has; name one of them: "
            f"layer={default.scores[-1]!r}."
        )
    return default.name


def _default(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> _Default:
    """See `find_layer`."""
    known = survey(model, forward, x)
    maps = _spatial(model, known, frozenset())
    # A captioner or VQA model reads its encoder's map region by region: what comes then is its language side, unless
    # the one map there is comes from a patch embedding, a lone convolution.
    encoder_is_convolutional = known.reads and bool(maps) and maps[-1].call.kind != "Conv2d"
    if not encoder_is_convolutional and _later(known, maps):
        measure(model, forward, x, known)
    every = _spatial(model, known, frozenset())
    if not every:
        raise _no_layer(model, known)
    # Of tokens and of models that read words, only the last module's output tells how wide an answer is.
    widths = known.widths if every[-1].form == "a map" and not known.reads else None
    candidates = _spatial(model, known, widths) or _spatial(model, known)
    if not candidates:
        return _Default("", tuple(spot.call.name for spot in every))
    # An output of several tensors, as a map and the vector it is pooled to, may be read for another of them.
    if any(spot.layer.cells != "convolutional" for spot in candidates) or candidates[-1].call.several:
        return _Default(_last_block_with_a_say(model, forward, x, candidates))
    name, names = candidates[-1].call.name, [spot.call.name for spot in every]
    return _Default(name, () if known.reads else tuple(names[names.index(name) + 1 :]))


def _later(known: Survey, maps: list[Spot]) -> bool:
    """Whether something that may hold cells came after the last map that needs no measurement."""
    last = known.calls.index(maps[-1].call) if maps else -1
    return any(known.calls.index(call) > last for call in unmeasured(known))


def _no_layer(model: nn.Module, known: Survey) -> ExplainError:
    """The error for a model without a default layer: its maps may be those of layers that run several times."""
    runs = Counter(call.name for call in known.calls)
    often = [spot for spot in spots(model, known) if runs[spot.call.name] > 1 and min(spot.map[1:]) > 1]
    if often:
        name = often[-1].call.name
        return ExplainError(
            f"The layers of {type(model).__name__} that give a map run several times in one forward; say which, and "
            f"when: layer={name!r} with call=0…{runs[name] - 1}."
        )
    problem = f"No layer of {type(model).__name__} gives a spatial map (N,K,h,w) larger than 1×1"
    # Of those that were looked at the last one of more than one row tells most.
    reasons = [place.reason for place in known.places.values() if place.reason]
    why = f", or tokens whose place in the picture is known: {reasons[-1]}" if reasons else ""
    return ExplainError(f"{problem}{why}.")


def _reads_many_channels(computation: Computation, layer: Layer) -> bool:
    """Whether the first target has a gradient in more than two channels of a layer, so that it is not its answer."""
    first = replace(computation, targets=computation.targets[:1])
    try:
        gradients = run(first, layer, zero=True).gradients
    except IndependentError:
        return False
    return int(gradients.abs().amax((0, 1, 3, 4)).count_nonzero()) > 2


def find_layer_of(computation: Computation) -> str | None:
    """The last spatial layer the first target depends on, for targets that do not depend on the default one.

    An actor and a critic may have encoders of their own, and a network several heads on layers of their own. None where
    there is no such layer.
    """
    c = computation
    outputs: dict[Run | None, Tensor] = {}

    def score(pictures: Tensor) -> Tensor:
        return c.targets[0](c.forward(pictures, c.rows())).sum()

    candidates = spatial(c.model, c.alone, c.x)
    trace(c.model, score, c.rows().per_text(c.x), outputs)
    last = _last_with_a_say(candidates, outputs, picture_of(c.x))
    return None if last is None else last.call.name


def _last_block_with_a_say(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, candidates: list[Spot]
) -> str:
    """The last block or normalisation that shows a map on which the output depends."""
    check_recordable(model)
    outputs: dict[Run | None, Tensor] = {}
    trace(model, forward, x[:1], outputs)
    blocks = [spot for spot in candidates if _is_block(spot.call)]
    if last := _last_with_a_say(blocks, outputs, picture_of(x)):
        return last.call.name
    problem, cause = f"No layer of {type(model).__name__} that shows a map has a say in its output", untrained(model)
    raise ExplainError(f"{problem}, {cause}; load trained ones." if cause else f"{problem}; name a layer.")


def _last_with_a_say(candidates: list[Spot], outputs: dict[Run | None, Tensor], picture: Size) -> Spot | None:
    """The last of some runs on whose map the output, `outputs[None]`, depends."""
    by_run = {spot.run: spot for spot in candidates}
    recorded = {key: outputs[key] for key in by_run if key in outputs and outputs[key].requires_grad}
    result = outputs.get(None)
    if result is None or not result.requires_grad or not recorded:
        return None
    # Any direction but a constant one, whose gradient a normalisation at the end would swallow.
    gradients = torch.autograd.grad(_any_scalar(result), list(recorded.values()), retain_graph=True, allow_unused=True)
    for key, gradient in zip(reversed(recorded), reversed(gradients), strict=True):
        grid = None if gradient is None else by_run[key].layer.grid(gradient, picture)
        if gradient is not None and grid is not None and grid.read(gradient).any():
            return by_run[key]
    return None


def _any_scalar(tensor: Tensor) -> Tensor:
    """Its values in an arbitrary direction, recorded."""
    direction = torch.linspace(-1, 1, tensor.numel(), device=tensor.device).cos().view_as(tensor).to(tensor.dtype)
    with torch.enable_grad():
        return (tensor * direction).sum()


def _is_block(call: Call) -> bool:
    """A block of a sequence, a normalisation, or a map: not a projection inside an attention."""
    return call.name.rpartition(".")[2].isdigit() or "norm" in call.kind.lower() or len(call.shape) == 4
