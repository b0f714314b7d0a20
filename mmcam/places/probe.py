"""Where does each cell of a layer lie in the picture? A measurement instead of a guess from shapes.

Bands of rows and of columns of a constant picture are filled with noise, one band at a time, and every place of every
layer is asked which bands it answers to (`mmcam.places.stripes`). An order of the places is believed if it explains
the answers far better than chance (`mmcam.places.verdict`); else the layer is refused with a reason. A few more rows
are the user's picture with one half of it changed: an order that is another one there hangs on the picture.

No gradients, all layers in the same forwards, at most 40 rows through the encoder: G = 8 bands where no map has more
than 12 cells a side (5 + 2·9 rows), G = 16 elsewhere (5 + 35 rows).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Grid, Size
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, picture_of
from mmcam.engine.tap import Reached
from mmcam.places.grids import channels_last, plain, tokens
from mmcam.places.layouts import Layout, arranged, layouts
from mmcam.places.stripes import energies, halved, level, shares, striped
from mmcam.places.trace import Run
from mmcam.places.verdict import BITS, NO_PLACE, Claim, Measured, Verdict, contradicted, follows, judge

Declared = Callable[[str, Tensor, Size], Grid | None]

_UNSTEADY = "it gives other values each time"

_COARSE, _FINE = 8, 16
_SIDE = 12
"""Cells of a side up to which the coarse bands do."""
_PIXELS = 12 * 512**2  # of all rows of a forward: attention among the cells of large pictures fills any memory
_MOST = 256**2
"""Places that are looked at in one output: a map of a quarter of a large picture's side."""


@dataclass(frozen=True)
class Place:
    """What a measurement says of one run of a layer.

    Attributes:
        name: dotted.
        call: which run in one forward, from 0.
        grid: how its output lies over the picture; None: refused.
        reason: "" or why it is refused, as part of a sentence: "its places answer to no place in the picture".
        bits: net evidence; 0 if there is none.
        shape: of the output's tensor without the pictures' axis.
        batch: the axis that holds the pictures: 0, or 1 with the sequence first.
        confirmed: the measurement found the cells there; else the grid is declared and was neither confirmed nor
            contradicted.
    """

    name: str
    call: int
    grid: Grid | None
    reason: str
    bits: float
    shape: tuple[int, ...]
    batch: int
    confirmed: bool = True


@dataclass
class _Reading:
    """The energies of a layer's output under one layout (None: as the declared grid reads it), chunk by chunk."""

    layout: Layout | None
    halves: Tensor | None = None
    stripes: list[Tensor] = field(default_factory=list)
    bases: list[Tensor] = field(default_factory=list)
    declared: Grid | None = None
    sides: Size | None = None
    finite: bool = True
    shares: bool = False


@dataclass
class _Layer:
    """What one run of a layer gave, forward after forward."""

    shapes: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    readings: dict[Layout | None, _Reading] = field(default_factory=dict)
    problem: str = ""
    eps: float = 0.0


class Measurement:
    """What one run of a layer answered to the probes; the verdict is found when it is asked for."""

    def __init__(self, run: Run, layer: _Layer, picture: Size, problem: str) -> None:
        self._run, self._layer, self._picture, self._problem = run, layer, picture, problem

    @cached_property
    def place(self) -> Place:
        """The verdict."""
        return _place(self._run, self._layer, self._picture, self._problem)


def probe(
    model: nn.Module,
    forward: Callable[[Tensor], Any],
    x: Tensor,
    runs: Collection[Run],
    declared: Declared | None = None,
) -> dict[Run, Place]:
    """Where the cells of some layers lie in the picture: the verdict of each of `measurements`."""
    found = measurements(model, forward, x, runs, declared)
    return {run: measurement.place for run, measurement in found.items()}


def measurements(
    model: nn.Module,
    forward: Callable[[Tensor], Any],
    x: Tensor,
    runs: Collection[Run],
    declared: Declared | None = None,
) -> dict[Run, Measurement]:
    """Measure where the cells of some layers lie in the picture.

    Args:
        model: holds the layers; left exactly as found.
        forward: runs it on any number of rows like those of `x`, as far as the last layer at least.
        x: (N,C,H,W): the first picture is what the order is tried on again; the range of all is kept to.
        runs: the layers, and which of their runs in one forward.
        declared: a layer's name, its output and the picture's (H,W) → the grid that is declared for it, if any, which
            is then verified instead of searched for.

    Returns:
        A `Measurement` for each run, whose `Place` is refused with a reason where nothing could be measured.

    Raises:
        ExplainError: there is no such layer.

    Source: measured here, see `mmcam.places.verdict`.
    """
    picture = picture_of(x)
    layers: dict[Run, _Layer] = {run: _Layer() for run in runs}
    problem = ""
    with as_found(model), torch.no_grad(), _Hooks(model, layers, picture, declared).on() as hooks:
        try:
            hooks.run(forward, torch.cat(halved(x)), halves=True)
            base = level(x)
            for chunk in _chunks(striped(x, base, _bands(layers)), first=5):
                hooks.run(forward, torch.cat([base, *chunk]))
        except Reached:
            raise
        except Exception as error:  # whatever a foreign forward raises at rows it cannot take
            problem = f"the model does not run on several pictures at once ({type(error).__name__})"
    return {run: Measurement(run, layer, picture, problem) for run, layer in layers.items()}


def _bands(layers: dict[Run, _Layer]) -> int:
    """Coarse bands, unless some output may be a map of more than `_SIDE` cells a side."""
    return _FINE if any(_side(layer) > _SIDE for layer in layers.values()) else _COARSE


def _side(layer: _Layer) -> float:
    """The longest side of the map that an output may be, as the first forward showed it."""
    sides: dict[int, float] = {}
    for reading in layer.readings.values():
        if reading.halves is not None:
            longest = max(reading.sides) if reading.sides else reading.halves.shape[1] ** 0.5 - 1
            batch = reading.layout.batch if reading.layout else 0
            sides[batch] = max(sides.get(batch, 0), longest)
    return min(sides.values(), default=0)  # another axis than the pictures' may be a multiple of their number


def _chunks(pictures: Sequence[Tensor], first: int) -> Iterator[Sequence[Tensor]]:
    """Two parts of the coarse probes, three of the fine ones, more of large pictures (see `_PIXELS`).

    With the blank picture they are other numbers of rows than the `first` forward's, so that the rows' axis shows.
    """
    size = _COARSE if len(pictures) == 2 * _COARSE else 11
    size = max(1, min(size, _PIXELS // pictures[0][0, 0].numel() - 1))
    size -= size + 1 == first
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]


class _Hooks:
    """Hooks that reduce a layer's output to energies while it is there."""

    def __init__(self, model: nn.Module, layers: dict[Run, _Layer], picture: Size, declared: Declared | None) -> None:
        self.model, self.layers, self.picture, self.declared = model, layers, picture, declared
        self.calls: dict[str, int] = {}
        self.missing: set[Run] = set()
        self.rows, self.halves = 0, False

    @contextlib.contextmanager
    def on(self) -> Iterator[_Hooks]:
        """Keep the hooks on for the length of a with-block."""
        handles = []
        try:
            for name in dict.fromkeys(name for name, _ in self.layers):
                handles.append(find_module(self.model, name).register_forward_hook(partial(self._hook, name)))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def run(self, forward: Callable[[Tensor], Any], rows: Tensor, halves: bool = False) -> None:
        """One forward, which is broken off when the last layer wanted has run."""
        self.calls, self.missing, self.rows, self.halves = {}, set(self.layers), len(rows), halves
        with contextlib.suppress(Reached):
            forward(rows)

    def _hook(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        if (run := (name, call)) not in self.missing:
            return
        self._note(name, self.layers[run], first_tensor(output))
        self.missing.discard(run)
        if not self.missing:
            raise Reached

    def _note(self, name: str, layer: _Layer, tensor: Tensor | None) -> None:
        if tensor is None or not tensor.is_floating_point() or tensor.ndim == 0:
            layer.problem = "it gives no tensor of real numbers"
            return
        layer.eps = torch.finfo(tensor.dtype).eps
        layer.shapes.append((self.rows, tuple(tensor.shape)))
        grid = None if self.declared is None else self.declared(name, tensor, self.picture)
        if grid is not None:
            self._add(layer, None, grid.read(tensor), grid)
            return
        for axis in (0, 1):
            if axis < tensor.ndim and _each(layer.shapes, axis):
                for layout in layouts(tensor.shape, axis, tensor.shape[axis] // self.rows):
                    self._add(layer, layout, tensor)

    def _add(self, layer: _Layer, layout: Layout | None, tensor: Tensor, grid: Grid | None = None) -> None:
        flat = tensor.flatten(2).transpose(1, 2) if layout is None else layout.flat(tensor)
        if len(flat) != self.rows or not 4 <= flat.shape[1] <= _MOST:
            return
        reading = layer.readings.setdefault(layout, _Reading(layout))
        energy, base = energies(flat)
        reading.declared, reading.sides = grid, _sides(layout, tensor)
        reading.finite &= bool(torch.isfinite(energy).all())
        reading.shares = shares(flat)
        if self.halves:
            reading.halves = energy
        else:
            reading.stripes.append(energy)
            reading.bases.append(base)


def _sides(layout: Layout | None, tensor: Tensor) -> Size | None:
    """(h,w) of an output that is a map already."""
    if layout is None:
        return tensor.shape[2], tensor.shape[3]
    if tensor.ndim != 4 or layout.each > 1:
        return None
    h, w = (side for axis, side in enumerate(tensor.shape) if axis not in (layout.batch, layout.channels))
    return h, w


def _each(shapes: Sequence[tuple[int, tuple[int, ...]]], axis: int) -> int:
    """Rows a picture of an axis that grows with the number of pictures; 0 if it does not."""
    ratios = {shape[axis] / rows if len(shape) > axis else 0 for rows, shape in shapes}
    return int(ratios.pop()) if len(ratios) == 1 and next(iter(ratios)) % 1 == 0 else 0


def _place(run: Run, layer: _Layer, picture: Size, problem: str) -> Place:
    """The verdict on one run of a layer."""
    name, call = run
    batch = next((axis for axis in (0, 1) if layer.shapes and _each(layer.shapes, axis)), 0)
    shape = layer.shapes[-1][1] if layer.shapes else ()
    refused = Place(name, call, None, "", 0.0, shape[:batch] + shape[batch + 1 :], batch, confirmed=True)
    if problem or layer.problem:
        return replace(refused, reason=layer.problem or problem)
    if not layer.shapes:
        return replace(refused, reason="it does not run")
    complete = [r for r in layer.readings.values() if len(r.stripes) == len(layer.shapes) - 1]
    if not complete:
        return replace(refused, reason=_without_rows(layer))
    found: list[tuple[_Reading, Verdict, Grid]] = []
    reasons: list[str] = []
    for reading in complete:
        place = _judged(reading, layer, picture, shape)
        if isinstance(place, str):
            reasons.append(place)
        else:
            found.append((reading, *place))
    if not found:
        each = max((reading.layout.each for reading in complete if reading.layout), default=1)
        if each > 1:
            reasons.append(f"it holds {each} rows a picture, as those of views or frames, that do not lie side by side")
        # What tells most comes first.
        return replace(refused, reason=min(reasons, key=[NO_PLACE, _UNSTEADY].__contains__))
    if len({reading.layout.channels for reading, _, _ in found if reading.layout}) > 1:
        return replace(refused, reason="several of its axes answer to places, as those of an attention matrix do")
    reading, verdict, grid = max(found, key=lambda one: one[1].bits)
    where = reading.layout.batch if reading.layout else batch
    confirmed = verdict.claim is not None or verdict.bits >= BITS
    return Place(name, call, grid, "", verdict.bits, shape[:where] + shape[where + 1 :], where, confirmed)


def _without_rows(layer: _Layer) -> str:
    if any(_each(layer.shapes, axis) for axis in (0, 1)):
        return "it has too few places to lie over a picture, or too many to be looked at"
    return "the rows of its output are no pictures"


def _judged(reading: _Reading, layer: _Layer, picture: Size, shape: tuple[int, ...]) -> tuple[Verdict, Grid] | str:
    """A reading's verdict and grid, or why it is refused."""
    if not reading.finite:
        return "its values are not finite"
    if not _repeats(reading.bases, layer.eps):
        return _UNSTEADY
    E = torch.cat(reading.stripes).double().numpy()
    if E.max() <= 0:
        return "it does not answer to the picture"
    half = len(E) // 2
    measured = Measured(E[:half], E[half:])
    if reading.layout is None:
        assert reading.declared is not None
        assert reading.sides is not None
        pro, contra = contradicted(measured, reading.sides)
        found = judge(measured, picture, reading.sides).claim
        if contra >= BITS or (found is not None and found.kind != "rows"):
            return "its cells do not lie where they are declared to be"
        return Verdict(None, "", pro), reading.declared
    if reading.shares:
        return "its values are shares of an attention"
    verdict = judge(measured, picture, reading.sides, whole=reading.layout.each > 1)
    if verdict.claim is None and reading.sides is not None and reading.layout.channels == 3:
        verdict = judge(measured, picture, None, whole=True)  # (N, windows, cells of each, K)
    if verdict.claim is None:
        return verdict.reason
    assert reading.halves is not None
    if not follows(reading.halves.double().numpy(), verdict.claim):
        return "its order changes with the picture"
    return verdict, _grid(reading.layout, verdict.claim, E.shape[1], len(shape))


def _repeats(bases: Sequence[Tensor], eps: float) -> bool:
    """The base picture gave the same in every forward, to rounding."""
    first = bases[0]
    scale = first.std() + first.abs().mean() + 1e-30
    return all(
        other.shape == first.shape and (other - first).abs().mean() <= max(1e-2, 20 * eps) * scale for other in bases
    )


def _grid(layout: Layout, claim: Claim, places: int, dims: int) -> Grid:
    """The grid of a claim: one of the common ones where it is one."""
    h, w = claim.sides
    raster = bool((np.diff(claim.at) == 1).all())
    skip, behind = int(claim.at[0]), places - int(claim.at[0]) - h * w
    if raster and dims == 4 and layout.each == 1 and layout.batch == 0:
        return plain() if layout.channels == 1 else channels_last()
    form = _form(layout, claim, raster, skip, behind, dims)
    if raster and (layout.batch, layout.channels, dims, layout.each) == (0, 2, 3, 1):
        return replace(tokens(h, w, skip), form=form)
    return arranged(layout, torch.from_numpy(claim.at.astype(np.int64)), h, w, form)


def _form(layout: Layout, claim: Claim, raster: bool, skip: int, behind: int, dims: int) -> str:
    h, w = claim.sides
    words = [f"a {h}×{w} map" if dims == 4 and layout.each == 1 else f"{h}×{w} tokens"]
    if raster:
        parts = [f"{where} {n} other{'s' if n > 1 else ''}" for where, n in (("after", skip), ("before", behind)) if n]
        words[0] += "".join(f" {part}" if i == 0 else f" and {part}" for i, part in enumerate(parts))
    if layout.batch == 1:
        words.append("sequence first")
    if dims == 3 and layout.channels < 2 and layout.batch == 0:
        words.append("channels first")
    if layout.each > 1:
        words.append(f"in {layout.each} rows a picture")
    if claim.kind == "gaps":
        words.append("with others between")
    elif not raster:
        words.append("in another order")
    return ", ".join(words)
