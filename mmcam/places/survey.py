"""What is known of the layers of a model: from one traced forward, and from a measurement where that does not tell.

Remembered for a model and the size of its input, so that all maps of all pictures share one trace and one measurement.
"""

from __future__ import annotations

import reprlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.layer import Grid, Layer, Size
from mmcam.engine.modules import find_module, layer_name
from mmcam.engine.outputs import tensors_in
from mmcam.errors import ExplainError
from mmcam.places.grids import channels_last, declared, plain
from mmcam.places.path import Axes
from mmcam.places.probe import Measurement, measurements
from mmcam.places.trace import Call, Run, trace

_LANGUAGE = ("token_log_probs", "answer_scores", "similarity")
"""What models with a language side offer (see `mmcam.tasks`)."""

_LAYOUTS: dict[Axes, Callable[[], Grid]] = {(0, 2, 3): plain, (0, 1, 2): channels_last}
"""How a map of four axes is kept, by those of pictures, rows and columns."""

MOST_RUNS = 16
"""Runs of one layer in one forward whose cells are looked for: those of views and frames, not of words written."""


@dataclass(frozen=True)
class Spot:
    """A run of a layer whose cells have a place in the picture.

    Attributes:
        call: as it was traced.
        map: (K,h,w).
        layer: how the engine reads it.
        form: how the map is kept, in words.
        bits: of evidence in favour of the place, if it was measured.
    """

    call: Call
    map: tuple[int, int, int]
    layer: Layer
    form: str
    bits: float | None = None

    @property
    def run(self) -> Run:
        """The layer's name and which of its runs."""
        return self.call.key


@dataclass
class Survey:
    """A model's layers on inputs of one size.

    Attributes:
        calls: of a traced forward of one picture.
        widths: the numbers of channels of the output's tensors (N,C) and (N,C,H,W).
        reads: the model reads words, too.
        device: of the input.
        places: what a measurement said of those runs that were not seen to be convolutional.
        weights: the state of the model's weights when a run was measured.
    """

    calls: list[Call]
    widths: frozenset[int]
    reads: bool
    device: torch.device
    places: dict[Run, Measurement] = field(default_factory=dict)
    weights: dict[Run, int] = field(default_factory=dict)


_surveys: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Survey]] = weakref.WeakKeyDictionary()


def survey(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> Survey:
    """What is known of a model on inputs like x (N,C,H,W); `forward` takes any number of them."""
    known, size = _surveys.setdefault(model, {}), tuple(x.shape[1:])
    if size not in known:
        outputs: list[Any] = []

        def once(pictures: Tensor) -> None:
            outputs.append(forward(pictures))

        calls = trace(model, once, x[:1])
        reads = any(hasattr(model, name) for name in _LANGUAGE)
        known[size] = Survey(calls, _widths(outputs[0]), reads, x.device)
    return known[size]


def surveyed(model: nn.Module, x: Tensor) -> bool:
    """Whether something is known of a model on inputs like x already, or the model tells it itself."""
    return hasattr(model, "own_layer") or tuple(x.shape[1:]) in _surveys.get(model, {})


def measure(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, known: Survey, calls: Sequence[Call]
) -> None:
    """Measure where the cells of some layers lie, unless that was done or is not needed.

    A layer without a place is looked at once more when the model has other weights: random ones can hide it.
    """
    weights = sum(p._version for p in model.parameters() if not p.is_inference())
    wanted = [c.key for c in calls if c.axes is None and _may_hold_cells(c) and c.run < MOST_RUNS]
    missing = [
        run
        for run in wanted
        if run not in known.places or (known.weights[run] != weights and known.places[run].place.grid is None)
    ]
    if missing:
        known.places |= measurements(model, forward, x[:1], missing, partial(declared, model))
        known.weights |= dict.fromkeys(missing, weights)


def layer_at(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, given: object, call: int | None = None
) -> Layer:
    """The layer of a dotted name, or as people write it (`mmcam.engine.modules.layer_name`), its cells proven, or none.

    Args:
        model: the module that holds it.
        forward: runs the model on any number of pictures like `x`.
        x: pictures (N,C,H,W) as they will be explained.
        given: the layer.
        call: which run of a layer that runs several times in one forward, from 0.

    Raises:
        ExplainError: there is no such layer; no such call.
    """
    name = layer_name(model, given)
    if call is not None and (isinstance(call, bool) or not isinstance(call, int) or call < 0):
        raise ExplainError(f"call= counts the runs of a layer from 0, and {reprlib.repr(call)} is none; pass call=0.")
    own = getattr(model, "own_layer", None)
    if callable(own) and isinstance(layer := own(name, x, call), Layer):
        return layer  # of a model that measures where its cells lie
    known = look(model, forward, x, name, call)
    spot = spot_at(model, known, (name, call or 0))
    if spot is not None:
        return replace(spot.layer, call=call)
    measured = known.places.get((name, call or 0))
    # One that does not run at all is the engine's to refuse.
    return Layer(name, lambda tensor, picture: None, call, reason=measured.place.reason if measured else "")


def look(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, name: str, call: int | None = None) -> Survey:
    """What is known of a model once one of its layers was looked at, by a measurement if it takes one.

    Args:
        model, forward, x, call: as in `layer_at`.
        name: dotted.
    """
    known, run = survey(model, forward, x), (name, call or 0)
    if run not in {c.key for c in known.calls}:
        # Another forward than the remembered one, or a module that came since.
        _surveys[model].pop(tuple(x.shape[1:]), None)
        known = survey(model, forward, x)
    call_of = next((c for c in known.calls if c.key == run), None)
    if call_of is not None and call_of.axes is None:
        measure(model, forward, x, known, [call_of])
    return known


def spots(model: nn.Module, known: Survey) -> list[Spot]:
    """All runs of which it is known where their cells lie, in the order they ended, but those that only hand on."""
    calls = (call for call in known.calls if not call.passing)
    return [spot for call in calls if (spot := spot_of(model, known, call)) is not None]


def spot_at(model: nn.Module, known: Survey, run: Run) -> Spot | None:
    """One run, if it is known where its cells lie."""
    call = next((call for call in known.calls if call.key == run), None)
    return None if call is None else spot_of(model, known, call)


def own_spots(model: Any, known: Survey, x: Tensor) -> list[Spot]:
    """Those of a model that measures where its cells lie itself, at the layers that it names (``own_names``)."""
    found, calls = list[Spot](), {call.name: call for call in known.calls if not call.run}
    for name, shape in model.own_names(x).items():
        kind = type(find_module(model, name)).__name__
        call = calls[name] if name in calls else Call(name, 0, kind, shape, True, False, False, None)
        layer = model.own_layer(name, x, None)
        grid = layer.grid(torch.zeros(call.shape), (x.shape[-2], x.shape[-1]))
        if grid is not None:
            _, channels, h, w = grid.read(torch.zeros(call.shape)).shape
            found.append(Spot(call, (channels, h, w), layer, grid.form))
    return found


def to_measure(known: Survey) -> list[Call]:
    """The runs that may hold cells, and of which only a measurement tells."""
    return [call for call in known.calls if call.axes is None and not call.passing and _may_hold_cells(call)]


def spot_of(model: nn.Module, known: Survey, call: Call) -> Spot | None:
    """A run whose place is known, None if it is not."""
    if call.axes is not None:
        layout = _LAYOUTS.get(call.axes) if len(call.shape) == 4 and call.floating else None
        if layout is None:
            return None
        grid = layout()
        (channels,) = {0, 1, 2, 3} - set(call.axes)
        size = call.shape[channels], call.shape[call.axes[1]], call.shape[call.axes[2]]
        return Spot(call, size, Layer(call.name, lambda tensor, picture: grid, call.run, "convolutional"), grid.form)
    if call.floating and len(call.shape) == 4 and call.shape[2:] == (1, 1):  # one cell has nowhere else to be
        one = plain()
        return Spot(
            call, (call.shape[1], 1, 1), Layer(call.name, lambda t, p: one, call.run, "convolutional"), one.form
        )
    found = known.places.get(call.key)
    if found is None or found.place.grid is None:
        return None
    place, at = found.place, found.place.grid
    _, channels, h, w = at.read(torch.zeros(call.shape, device=known.device)).shape
    if call.declared:
        own = Layer(call.name, partial(declared, model, call.name), call.run, "declared")
        return Spot(call, (channels, h, w), own, at.form, place.bits)

    def measured(tensor: Tensor, picture: Size) -> Grid | None:
        sides = [side for axis, side in enumerate(tensor.shape) if axis != place.batch]
        return at if tuple(sides) == place.shape else None

    return Spot(call, (channels, h, w), Layer(call.name, measured, call.run, "measured"), at.form, place.bits)


def _may_hold_cells(call: Call) -> bool:
    """More than one number a channel."""
    return call.floating and sum(side > 1 for side in call.shape) >= 2


def _widths(output: Any) -> frozenset[int]:
    """The numbers of channels of an output's tensors (N,C) and (N,C,H,W)."""
    return frozenset(tensor.shape[1] for tensor in tensors_in(output) if tensor.ndim in (2, 4))
