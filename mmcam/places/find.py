"""Find the layer to explain: the last one that still shows where things are, and has a say in what comes out."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer, Size
from mmcam.engine.modules import check_recordable, find_module
from mmcam.engine.outputs import Target, any_scalar, picture_of, tensors_in
from mmcam.engine.run import run
from mmcam.engine.weights import untrained
from mmcam.errors import ExplainError, IndependentError
from mmcam.places.survey import Spot, Survey, layer_at, measure, own_spots, spot_of, spots, survey, to_measure
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


CHUNK, MOST = 16, 64
"""Layers that are measured at a time, and at most, from the last one on that has a say."""

_found: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], _Default]] = weakref.WeakKeyDictionary()


def spatial(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> list[Spot]:
    """The runs a map can be drawn at: larger than 1×1, of modules that ran once, not a pooling's output.

    Maps of scores are left out: a last convolution with one channel a class, averaged to the output, is the answer
    itself rather than what it was computed from.

    Args:
        model, forward, x: as in `find_layer`.
    """
    known = survey(model, forward, x)
    if hasattr(model, "own_names"):
        return own_spots(model, known, x)
    measure(model, forward, x, known, to_measure(known))
    return _spatial(model, known, _answers(known))


def _spatial(
    model: nn.Module, known: Survey, scores: frozenset[int] = frozenset(), measured: bool = True
) -> list[Spot]:
    """The same of what is known without another measurement, without maps of as many channels as `scores` names."""
    calls = [call for call in _once(known) if measured or call.axes is not None]
    found = (spot for call in calls if (spot := spot_of(model, known, call)) is not None)
    return [spot for spot in found if min(spot.map[1:]) > 1 and spot.map[0] not in scores]


def _once(known: Survey) -> list[Call]:
    """The runs of modules that ran once and compute something other than a pooling."""
    often = {call.name for call in known.calls if call.run}
    return [call for call in known.calls if not (call.passing or call.pooled or call.name in often)]


def _answers(known: Survey) -> frozenset[int]:
    """The number of channels of the last module's output, if it is one number a channel."""
    calls = [call for call in known.calls if not call.passing]
    out = calls[-1].shape if calls else ()
    return frozenset(out[1:2]) if len(out) == 2 or (len(out) == 4 and out[2:] == (1, 1)) else frozenset()


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
    maps of a fully convolutional network. A target that reads few of its channels would only be shown those, so an
    earlier layer is taken; one that reads most of what the output reads was computed from it. The first target of
    `computation` counts; without one it is left out.

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


def remembered(model: nn.Module, x: Tensor) -> str:
    """The default layer of a model on inputs like x, if it is known without a pass; else ""."""
    named = getattr(model, "explain_layer", None)
    if isinstance(named, str):
        return named
    known = _found.get(model, {}).get(tuple(x.shape[1:]))
    return known.name if known else ""


def _default(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> _Default:
    """See `find_layer`."""
    known = survey(model, forward, x)
    every = _spatial(model, known, measured=False)
    # A captioner or VQA model reads its encoder's map region by region: what comes then is its language side, unless
    # the one map there is comes from a patch embedding, a lone convolution.
    encoder_is_convolutional = known.reads and bool(every) and every[-1].call.kind != "Conv2d"
    several = bool(every) and every[-1].call.several
    if encoder_is_convolutional or (every and not several and not _later(known, every[-1])):
        scores = _answers(known) if known.reads else known.widths
        candidates = [spot for spot in every if spot.map[0] not in scores]
        candidates = candidates or [spot for spot in every if spot.map[0] not in _answers(known)]
        # An output of several tensors, as a map and the vector it is pooled to, may be read for another of them.
        if not candidates or not candidates[-1].call.several:
            name, names = candidates[-1].call.name if candidates else "", [spot.call.name for spot in every]
            behind = names[names.index(name) + 1 :] if name else names
            return _Default(name, () if known.reads and name else tuple(behind))
    check_recordable(model)
    outputs: dict[Run | None, Tensor] = {}
    trace(model, forward, x[:1], outputs)
    say = _Say(model, known, outputs, [any_scalar(outputs[None])] if None in outputs else [])
    for scores in (_answers(known) if known.reads else known.widths, _answers(known)):
        spot = say.last(forward, x, lambda spot, scores=scores: _is_no_answer(spot, known, scores))  # type: ignore[misc]
        if spot is not None:
            return _Default(spot.call.name)
    answers = tuple(spot.call.name for spot in _spatial(model, known))
    if answers and not known.reads and say.last(forward, x, lambda spot: True):
        return _Default("", answers)
    if not answers:
        raise _no_layer(model, known)
    if say.calls:
        reasons = [
            found.place.reason for call in say.calls if (found := known.places.get(call.key)) and (found.place.reason)
        ]
        raise ExplainError(
            f"Of no layer that has a say in the output of {type(model).__name__} is it known where its cells lie in "
            f"the picture: of {say.calls[0].name!r}, {reasons[0] if reasons else 'nothing was measured'}; name a layer."
        )
    problem, cause = f"No layer of {type(model).__name__} that shows a map has a say in its output", untrained(model)
    raise ExplainError(f"{problem}, {cause}; load trained ones." if cause else f"{problem}; name a layer.")


def _is_no_answer(spot: Spot, known: Survey, scores: frozenset[int]) -> bool:
    """A map with as many channels as an output may be the output; of tokens only the last module's width tells."""
    return spot.map[0] not in (scores if len(spot.call.shape) == 4 else _answers(known))


def _later(known: Survey, last: Spot) -> bool:
    """Whether something that may hold cells came after the last map that needs no measurement."""
    place = known.calls.index(last.call)
    return any(known.calls.index(call) > place for call in to_measure(known))


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
    reasons = [found.place.reason for found in known.places.values() if found.place.reason]
    why = f", or tokens whose place in the picture is known: {reasons[-1]}" if reasons else ""
    return ExplainError(f"{problem}{why}.")


def _reads_many_channels(computation: Computation, layer: Layer) -> bool:
    """Whether the first target reads most of the channels that the output reads of a layer, so it is not its answer.

    Several classes taken together read a few maps of scores more than one does, and as many of them as a ReLU left in
    this picture: a fixed number would take one layer for one picture and another for the next.
    """
    everything = partial(_all_of_it, n=computation.pictures)
    both = replace(computation, targets=[*computation.targets[:1], everything])
    try:
        gradients = run(both, layer, zero=True).gradients
    except IndependentError:
        return False
    own, every = gradients.abs().amax((1, 3, 4)).count_nonzero(1).tolist()
    return bool(own > 2 and 2 * own > every)


def _all_of_it(output: Any, n: int) -> Tensor:
    """Scores of N pictures that read every number of a model's output."""
    scores = []
    for tensor in tensors_in(output):
        if tensor.is_floating_point() and tensor.ndim > 1 and len(tensor) % n == 0:
            numbers = tensor.flatten(1)
            direction = torch.linspace(-1, 1, numbers.shape[1], device=tensor.device).cos().to(tensor.dtype)
            scores.append((numbers * direction).sum(1).view(-1, n).sum(0))
    return torch.stack(scores).sum(0)


def find_layer_of(computation: Computation, targets: Sequence[Target]) -> str | None:
    """The last spatial layer some targets depend on, for targets that do not depend on the default one.

    An actor and a critic may have encoders of their own, and a network several heads on layers of their own. None where
    there is no such layer.
    """
    c = computation
    outputs: dict[Run | None, Tensor] = {}
    scores: list[Tensor] = []

    def score(pictures: Tensor) -> None:
        output = c.forward(pictures, c.rows())
        scores.extend(target(output).sum() for target in targets)

    known = survey(c.model, c.alone, c.x)
    trace(c.model, score, c.rows().per_text(c.x), outputs)
    say = _Say(c.model, known, outputs, scores)
    for with_answers in (False, True):

        def wanted(spot: Spot, with_answers: bool = with_answers) -> bool:
            if _is_no_answer(spot, known, known.widths):
                return not with_answers
            return with_answers and not known.reads and _reads_many_channels(c, spot.layer)

        if spot := say.last(c.alone, c.x, wanted):
            return spot.call.name
    return None


class _Say:
    """Which layers some scores depend on, from the last to the first; measured as far as it takes."""

    def __init__(
        self, model: nn.Module, known: Survey, outputs: dict[Run | None, Tensor], scores: Sequence[Tensor]
    ) -> None:
        self.model, self.known = model, known
        calls = [
            call for call in _once(known) if _is_block(call) and call.key in outputs and outputs[call.key].requires_grad
        ]
        recorded = [outputs[call.key] for call in calls]
        scores = [score for score in scores if score.requires_grad]
        each = [
            torch.autograd.grad(score, recorded, retain_graph=True, allow_unused=True) if recorded else ()
            for score in scores
        ]
        gradients = list(zip(*each, strict=True)) if each else [()] * len(calls)
        self.gradients: dict[Run, list[Tensor]] = {
            call.key: [g for g in own if g is not None and g.any()] for call, own in zip(calls, gradients, strict=True)
        }
        self.calls = [call for call in reversed(calls) if scores and len(self.gradients[call.key]) == len(scores)]

    def last(self, forward: Callable[[Tensor], Any], x: Tensor, wanted: Callable[[Spot], bool]) -> Spot | None:
        """The last layer at whose cells all scores have a gradient, of those that are wanted."""
        for start in range(0, min(len(self.calls), MOST), CHUNK):
            chunk = self.calls[start : start + CHUNK]
            measure(self.model, forward, x, self.known, chunk)
            for call in chunk:
                spot = spot_of(self.model, self.known, call)
                if (
                    spot is not None
                    and min(spot.map[1:]) > 1
                    and wanted(spot)
                    and self._at_its_cells(spot, picture_of(x))
                ):
                    return spot
        return None

    def _at_its_cells(self, spot: Spot, picture: Size) -> bool:
        """In a vision transformer only the class token may have a gradient."""
        for gradient in self.gradients[spot.run]:
            grid = spot.layer.grid(gradient, picture)
            if grid is None or not grid.read(gradient).any():
                return False
        return True


def _is_block(call: Call) -> bool:
    """A block of a sequence, a normalisation, or a map: not a projection inside an attention."""
    return call.name.rpartition(".")[2].isdigit() or "norm" in call.kind.lower() or len(call.shape) == 4
