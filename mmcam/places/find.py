"""Find the layer to explain: the last one that still shows where things are, and has a say in what comes out."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Computation
from mmcam.engine.layer import Size
from mmcam.engine.modules import check_recordable, find_module
from mmcam.engine.outputs import map_tensors, picture_of
from mmcam.engine.run import run
from mmcam.engine.weights import untrained
from mmcam.errors import ExplainError, IndependentError
from mmcam.places.grids import fits, grid_at, layer_at
from mmcam.places.trace import Call, trace

_LANGUAGE = ("token_log_probs", "answer_scores", "similarity")
"""What models with a language side offer (see `mmcam.tasks`)."""


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


def spatial(calls: list[Call], picture: Size, words: bool = True, scores: frozenset[int] | None = None) -> list[Call]:
    """The calls a map can be drawn at: larger than 1×1, in the picture's proportions, of modules that ran once, not a
    pooling's output.

    Maps of scores are left out: a last convolution with one channel a class, averaged to the output, is the answer
    itself rather than what it was computed from. Tokens count if a map before them has as many cells, in rows and
    columns, or if tokens that count have twice as many rows and columns: others are words. Where there is no map at all
    before them (patches cut out and projected), all tokens count that their number allows. Without `words` in a model,
    tokens of a patch embedding's map may also be several of its cells each (a transformer in a transformer).

    Args:
        calls: of a traced forward.
        picture: (H,W).
        words: the model reads words, too.
        scores: numbers of channels that a map of scores has; default those of the last module's output, if it is one
            number a channel.
    """
    names = [call.name for call in calls]
    if scores is None:
        out = calls[-1].shape if calls else ()
        scores = frozenset(out[1:2]) if len(out) == 2 or (len(out) == 4 and out[2:] == (1, 1)) else frozenset()
    shown = [call for call in calls if call.map is not None and min(call.map[1:]) > 1 and fits(call.map[1:], picture)]
    return [
        call
        for call in _without_words(shown, words)
        if call.map and not call.pooled and names.count(call.name) == 1 and call.map[0] not in scores
    ]


def _without_words(calls: list[Call], words: bool) -> Iterator[Call]:
    """Maps, and the tokens in step with them (see `spatial`)."""
    maps = [call.kind for call in calls if len(call.shape) == 4]
    cells: set[Size] = set()
    for call in calls:
        assert call.map is not None
        _, h, w = call.map
        if len(call.shape) == 4:
            cells.add((h, w))
            if maps == ["Conv2d"] and not words:
                cells |= {(h // part, w // part) for part in (2, 4, 8)}
        elif maps and (h, w) not in cells:
            continue
        if call.form != "a map":
            cells |= {(h, w), (h // 2, w // 2), (-(-h // 2), -(-w // 2))}
        yield call


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
            if _reads_many_channels(computation, name):
                return name
    if not default.name:
        raise ExplainError(
            f"The only maps of {type(model).__name__} have one channel an output, as its answer has; name one of them: "
            f"layer={default.scores[-1]!r}."
        )
    return default.name


def _default(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> _Default:
    """See `find_layer`."""
    reads, picture = any(hasattr(model, name) for name in _LANGUAGE), picture_of(x)
    outputs: list[Any] = []
    calls = trace(model, lambda: outputs.append(forward(x.clone())), picture, rows=len(x))
    every = spatial(calls, picture, words=reads, scores=frozenset())
    if not every:
        raise _no_layer(model, calls, picture)
    # Of tokens and of models that read words, only the last module's output tells how wide an answer is.
    widths = _widths(outputs[0]) if every[-1].form == "a map" and not reads else None
    candidates = spatial(calls, picture, reads, widths) or spatial(calls, picture, reads)
    if not candidates:
        return _Default("", tuple(call.name for call in every))
    maps = [call for call in candidates if call.form == "a map"]
    # A captioner or VQA model reads its encoder's map region by region: those are tokens of its language side, unless
    # the one map there is comes from a patch embedding, a lone convolution.
    if reads and maps and maps[-1].kind != "Conv2d":
        candidates = maps
    # An output of several tensors, as a map and the vector it is pooled to, may be read for another of them.
    if any(call.form != "a map" for call in candidates) or candidates[-1].several:
        return _Default(_last_block_with_a_say(model, forward, x, reads))
    behind = () if reads else every[every.index(candidates[-1]) + 1 :]
    return _Default(candidates[-1].name, tuple(call.name for call in behind))


def _no_layer(model: nn.Module, calls: list[Call], picture: Size) -> ExplainError:
    """The error for a model without a default layer: its maps may be those of layers that run several times."""
    often = [call for call in calls if [other.name for other in calls].count(call.name) > 1]
    maps = [call for call in often if call.map is not None and min(call.map[1:]) > 1 and fits(call.map[1:], picture)]
    if not maps:
        return ExplainError(f"No layer of {type(model).__name__} gives a spatial map (N,K,h,w) larger than 1×1.")
    name, times = maps[-1].name, [call.name for call in calls].count(maps[-1].name)
    return ExplainError(
        f"The layers of {type(model).__name__} that give a map run several times in one forward; say which, and when: "
        f"layer={name!r} with call=0…{times - 1}."
    )


def _widths(output: Any) -> frozenset[int]:
    """The numbers of channels of an output's tensors (N,C) and (N,C,H,W)."""
    widths: set[int] = set()

    def note(tensor: Tensor) -> Tensor:
        if tensor.ndim in (2, 4):
            widths.add(tensor.shape[1])
        return tensor

    map_tensors(output, note)
    return frozenset(widths)


def _reads_many_channels(computation: Computation, name: str) -> bool:
    """Whether the first target has a gradient in more than two channels of a layer, so that it is not its answer."""
    first = replace(computation, targets=computation.targets[:1])
    try:
        gradients = run(first, layer_at(first.model, name), zero=True).gradients
    except IndependentError:
        return False
    return int(gradients.abs().amax((0, 1, 3, 4)).count_nonzero()) > 2


def find_layer_of(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, target: Callable[[Any], Tensor]
) -> str | None:
    """The last spatial layer a target depends on, for targets that do not depend on the default one.

    An actor and a critic may have encoders of their own, and a network several heads on layers of their own. None where
    there is no such layer.
    """
    outputs: dict[str, Tensor] = {}

    def score() -> Tensor:
        return target(forward(x.detach().clone().requires_grad_())).sum()

    calls = spatial(trace(model, score, picture_of(x), outputs), picture_of(x))
    last = _last_with_a_say(model, calls, outputs, picture_of(x))
    return None if last is None else last.name


def _last_block_with_a_say(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, words: bool) -> str:
    """The last block or normalisation that shows a map on which the output depends."""
    check_recordable(model)
    picture = picture_of(x)
    outputs: dict[str, Tensor] = {}
    pixels = x.detach().clone().requires_grad_()
    calls = spatial(trace(model, lambda: forward(pixels.clone()), picture, outputs, rows=len(x)), picture, words)
    blocks = [call for call in calls if _is_block(call)]
    result = outputs.get("")
    if result is None or not result.requires_grad or not any(outputs[call.name].requires_grad for call in blocks):
        raise ExplainError(f"{type(model).__name__} shows no tokens that its output depends on; name a layer.")
    if last := _last_with_a_say(model, blocks, outputs, picture):
        if not any(len(call.shape) == 4 for call in calls):
            _in_order(model, next(call for call in calls if call.map == last.map), outputs, pixels)
        return last.name
    problem, cause = f"No layer of {type(model).__name__} that shows a map has a say in its output", untrained(model)
    raise ExplainError(f"{problem}, {cause}; load trained ones." if cause else f"{problem}; name a layer.")


def _last_with_a_say(model: nn.Module, calls: list[Call], outputs: dict[str, Tensor], picture: Size) -> Call | None:
    """The last of some calls on whose map the output, `outputs[""]`, depends."""
    calls = [call for call in calls if outputs[call.name].requires_grad]
    result = outputs.get("")
    if result is None or not result.requires_grad or not calls:
        return None
    # Any direction but a constant one, whose gradient a normalisation at the end would swallow.
    gradients = torch.autograd.grad(
        _any_scalar(result), [outputs[call.name] for call in calls], retain_graph=True, allow_unused=True
    )
    for call, gradient in zip(reversed(calls), reversed(gradients), strict=True):
        grid = None if gradient is None else grid_at(model, call.name, gradient, picture)
        if gradient is not None and grid is not None and grid.read(gradient).any():
            return call
    return None


def _in_order(model: nn.Module, call: Call, outputs: dict[str, Tensor], pixels: Tensor) -> None:
    """Tokens no map came before are believed only if those of two opposite corners look at their corners' pixels.

    Raises:
        ExplainError: they look elsewhere.
    """
    grid = grid_at(model, call.name, outputs[call.name], picture_of(pixels))
    assert grid is not None
    maps = grid.read(outputs[call.name])
    h, w = maps.shape[2:]
    for lower, right in ((False, True), (True, False)):
        one = maps[:, :, -1 if lower else 0, -1 if right else 0]
        gradient = torch.autograd.grad(_any_scalar(one), pixels, retain_graph=True, allow_unused=True)[0]
        seen = torch.zeros_like(pixels) if gradient is None else gradient.abs()
        # Two cells, since patches may overlap.
        high, wide = -(-2 * pixels.shape[2] // h), -(-2 * pixels.shape[3] // w)
        part = seen[:, :, -high:] if lower else seen[:, :, :high]
        part = part[..., -wide:] if right else part[..., :wide]
        if not part.sum() > seen.sum() / 2:
            raise ExplainError(
                f"The tokens of {type(model).__name__} do not stand row by row, so their shape tells no map; "
                "give the model a method grid(layer, tensor) that returns a mmcam.places.grids.Grid."
            )


def _any_scalar(tensor: Tensor) -> Tensor:
    """Its values in an arbitrary direction, recorded."""
    direction = torch.linspace(-1, 1, tensor.numel(), device=tensor.device).cos().view_as(tensor).to(tensor.dtype)
    with torch.enable_grad():
        return (tensor * direction).sum()


def _is_block(call: Call) -> bool:
    """A block of a sequence, a normalisation, or a map: not a projection inside an attention."""
    return call.name.rpartition(".")[2].isdigit() or "norm" in call.kind.lower() or len(call.shape) == 4
