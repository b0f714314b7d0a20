"""What a model's encoder gave for some pictures, kept up to a layer, so that later passes on them begin there.

A model that reads pictures and words runs its encoder on the same pictures again and again: to write a caption, to
explain its words, to answer another question. All that differs comes behind the encoder. So what its modules gave is
kept up to one layer, and handed out in their place whenever the encoder is called with the very same inputs; the rest
of it runs as ever, recorded or not. With other inputs, or recorded ones, everything runs.

Of what came before the layer only those outputs are kept that were still alive when it began, as the shortcut around a
block: nothing behind it can read the others. Their places are held by numbers that are none. Which these are is found
when this is first done for a model, and the encoder's output is compared with what it really gave; where it differs,
every output before the layer is kept; where that does not help either, nothing is.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.instead import instead
from mmcam.engine.layer import Layer
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import map_tensors, tensors_in
from mmcam.engine.tap import Reached
from mmcam.engine.weights import state_of

Extent = frozenset[tuple[str, int]] | Literal["alive", "all", "nothing"]
"""Which outputs before the layer are kept: those of some runs of modules, or those that are alive when it begins."""

_known: weakref.WeakKeyDictionary[nn.Module, dict[tuple[str, str, tuple[int, ...]], Extent]] = (
    weakref.WeakKeyDictionary()
)

Settings = tuple[tuple[str, Any], ...]
"""What a module is called with besides tensors, by its name or its place."""

_GIVEN_OUT = ("output_", "return_")
"""How the names begin of what only says what a module of transformers gives out of what it computes."""

_Hold = Literal["copied", "held", "watched", "let go"]

SAMPLES = 64
"""Numbers of a picture that are compared before all of them are."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What an encoder gave for N pictures, up to a layer.

    Attributes:
        model: the module that holds both; it lives as long as this.
        encoder, layer: modules, the layer inside the encoder or the encoder itself.
        inputs: the tensors the encoder was called with.
        settings: what else it was called with.
        outputs: those of each module that ran before the layer, and of the layer, in the order of its runs.
        weights: the state of the encoder's weights.
    """

    model: nn.Module
    encoder: nn.Module
    layer: nn.Module
    inputs: Sequence[Tensor]
    settings: Settings
    outputs: Mapping[nn.Module, Sequence[Any]]
    weights: Sequence[Any]

    @property
    def stale(self) -> bool:
        """Whether the encoder has other weights by now."""
        return self.weights != state_of(self.encoder)

    @property
    def by_row(self) -> bool:
        """Every tensor has a row for each picture."""
        tensors = [*self.inputs, *tensors_in(list(self.outputs.values()))]
        return all(t.ndim > 0 and len(t) == len(self.inputs[0]) for t in tensors)

    def hides(self, module: nn.Module) -> bool:
        """Whether a module does not run where this is handed out, or not as it ran."""
        inside = {inner for own in self.outputs if own is not self.layer for inner in own.modules()}
        inside |= set(self.layer.modules()) - {self.layer}
        return module in inside

    def row(self, n: int) -> Kept:
        """That of one picture, which keeps no other one's; only where all is `by_row`."""
        return self._changed(lambda t: t[n : n + 1] if _is_place(t) else t[n : n + 1].clone())

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Kept:
        outputs = {module: map_tensors(list(own), change) for module, own in self.outputs.items()}
        return replace(self, inputs=[change(t) for t in self.inputs], outputs=outputs)


def keep(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, encoder: str, layer: str) -> Kept | None:
    """Run an encoder up to a layer and keep what it gave; the forward is broken off there.

    Args:
        model: left as found.
        forward: runs it on pictures.
        x: (N,C,H,W).
        encoder, layer: dotted names; "" for the model itself. What the encoder makes of a picture has to hang on
            nothing but its inputs for that picture.

    Returns:
        None where nothing can be kept: the layer does not lie in the encoder, or the encoder cannot go on from it.
    """
    modules = model if not encoder else find_module(model, encoder), find_module(model, layer)
    if modules[1] not in set(modules[0].modules()):
        return None
    known, key = _known.setdefault(model, {}), (encoder, layer, tuple(x.shape[1:]))
    if key in known:
        extent = known[key]
        return None if extent == "nothing" else _run(model, forward, x, modules, extent)[0]
    extents: tuple[Literal["alive"], Literal["all"]] = ("alive", "all")
    for extent in extents:
        kept, output = _run(model, forward, x, modules, extent, to_end=True)
        if kept is None:
            break
        if _same(output, _again(kept, forward, x)):
            known[key] = _read_again(kept) if extent == "alive" else extent
            return kept
    known[key] = "nothing"
    return None


@contextlib.contextmanager
def begun(kept: Sequence[Kept], model: nn.Module, layers: Sequence[Layer] = ()) -> Iterator[None]:
    """Inside, the encoder begins at the layer wherever it is called with inputs whose outputs are kept.

    Args:
        kept: of any models; those of another one do nothing.
        model: what is run, inside `mmcam.engine.as_found.as_found`.
        layers: are looked at meanwhile; where one of them would not run, everything runs.
    """
    read = [find_module(model, layer.name) for layer in layers]
    own = [each for each in kept if each.model is model and not any(map(each.hides, read))]
    # Those of one layer: of several, the first that was looked at.
    own = [each for each in own if (each.encoder, each.layer) == (own[0].encoder, own[0].layer)]
    if not own:
        yield
        return
    outputs: dict[nn.Module, Sequence[Any]] = {}
    runs: Counter[nn.Module] = Counter()

    def handed_out(module: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            mine = outputs.get(module, ())
            if runs[module] >= len(mine):
                return original(*args, **kwargs)
            runs[module] += 1
            return map_tensors(mine[runs[module] - 1], _copy)  # what comes behind may work in place on it

        return forward

    def entered(inner: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            outputs.update(_outputs_for(own, *_called_with(args, kwargs)))
            try:
                return inner(*args, **kwargs)
            finally:
                outputs.clear()
                runs.clear()

        return forward

    encoder = own[0].encoder
    modules = {module for each in own for module in each.outputs}
    forwards = {module: handed_out(module, module.forward) for module in modules}
    forwards[encoder] = entered(forwards.get(encoder, encoder.forward))
    with instead(forwards):
        yield


def _run(
    model: nn.Module,
    forward: Callable[[Tensor], Any],
    x: Tensor,
    modules: tuple[nn.Module, nn.Module],
    extent: Extent,
    to_end: bool = False,
) -> tuple[Kept | None, Any]:
    """What is kept of one run as far as the layer, and the encoder's output if it is run to its end."""
    encoder, layer = modules
    recorder = _Recorder(encoder, layer, extent, to_end)
    with as_found(model), instead(recorder.forwards()), contextlib.suppress(Reached):
        forward(x.clone())
    if layer not in recorder.outputs:
        return None, None
    inputs, settings = recorder.called_with
    kept = Kept(model, encoder, layer, inputs, settings, recorder.outputs, state_of(encoder))
    return kept, recorder.output


class _Recorder:
    """The forwards of an encoder's modules during a run whose outputs are kept.

    Attributes:
        outputs: see `Kept`.
        called_with: the encoder's tensors and settings.
        output: the encoder's.
    """

    def __init__(self, encoder: nn.Module, layer: nn.Module, extent: Extent, to_end: bool) -> None:
        self.encoder, self.layer, self.extent, self.to_end = encoder, layer, extent, to_end
        self._names = {module: name for name, module in encoder.named_modules()}
        self._runs: Counter[nn.Module] = Counter()
        self.outputs: dict[nn.Module, list[Any]] = {}
        self.called_with: tuple[list[Tensor], Settings] = ([], ())
        self.output: Any = None
        self._noted: list[tuple[nn.Module, _Noted]] = []
        self._open = False  # inside the encoder, before the layer, and in no other module whose output is noted

    def forwards(self) -> dict[nn.Module, Callable[..., Any]]:
        """Those of the modules that may run before the layer, of the layer and of the encoder."""
        inside = set(self.layer.modules())
        around = {m for m in self.encoder.modules() if self.layer in set(m.modules())}
        before = [
            m for m in self.encoder.modules() if m not in inside | around and not isinstance(m, torch.jit.ScriptModule)
        ]
        found: dict[nn.Module, Callable[..., Any]] = {m: partial(self._before, m, m.forward) for m in before}
        found[self.layer] = partial(self._at, self.layer.forward)
        found[self.encoder] = partial(self._whole, found.get(self.encoder, self.encoder.forward))
        return found

    def _before(self, module: nn.Module, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._open:
            return original(*args, **kwargs)
        self._open = False
        output = original(*args, **kwargs)
        self._open = True
        self._noted.append((module, _Noted(output, self._hold(module))))
        self._runs[module] += 1
        return output

    def _hold(self, module: nn.Module) -> _Hold:
        if isinstance(self.extent, frozenset):
            return "held" if (self._names[module], self._runs[module]) in self.extent else "let go"
        return "copied" if self.extent == "all" else "watched"

    def _at(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.layer in self.outputs:  # another run of it
            return original(*args, **kwargs)
        self._open = False
        for module, noted in self._noted:
            self.outputs.setdefault(module, []).append(noted.output())
        output = original(*args, **kwargs)
        self.outputs[self.layer] = [_changed(output, lambda t: t.detach().clone())]
        if not self.to_end:
            raise Reached
        return output

    def _whole(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        tensors, settings = _called_with(args, kwargs)
        self.called_with = [t.detach().clone() for t in tensors], settings
        self._open = True
        self.output = inner(*args, **kwargs)
        raise Reached


class _Noted:
    """A module's output: copied as it is now, held or watched until the layer begins, or let go."""

    def __init__(self, output: Any, hold: _Hold) -> None:
        self._form = _changed(output, _copy if hold == "copied" else _place_of)
        tensors = [] if hold in ("copied", "let go") else list(tensors_in(output))
        self._tensors = [weakref.ref(t) if hold == "watched" else partial(_itself, t) for t in tensors]

    def output(self) -> Any:
        """The same, with numbers that are none in place of what nothing holds any more."""
        if not self._tensors:
            return self._form
        each = iter(self._tensors)

        def filled(place: Tensor) -> Tensor:
            tensor = next(each)()
            return place if tensor is None else tensor.detach().clone()

        return map_tensors(self._form, filled)


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _read_again(kept: Kept) -> frozenset[tuple[str, int]]:
    """The runs of modules of whose outputs something is kept."""
    names = {module: name for name, module in kept.encoder.named_modules()}
    return frozenset(
        (names[module], run)
        for module, own in kept.outputs.items()
        for run, output in enumerate(own)
        if not all(map(_is_place, tensors_in(output)))
    )


def _changed(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """An output with other tensors; of a form that cannot be made anew nothing is kept, so the run ends."""
    try:
        return map_tensors(output, change)
    except (TypeError, AttributeError, RecursionError):
        raise Reached from None


def _place_of(tensor: Tensor) -> Tensor:
    """As large, without its memory, and so that nothing computed from it passes for a result."""
    none = torch.nan if tensor.is_floating_point() or tensor.is_complex() else 0
    return torch.full((), none, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _is_place(tensor: Tensor) -> bool:
    """Whether it is what `_place_of` gives: one number for all."""
    return tensor.ndim > 0 and not any(tensor.stride())


def _copy(tensor: Tensor) -> Tensor:
    return tensor if _is_place(tensor) else tensor.detach().clone()


def _called_with(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Tensor], Settings]:
    """The tensors among a call's arguments, and what else says how it is to run."""
    given = [*((str(place), value) for place, value in enumerate(args)), *sorted(kwargs.items())]
    others = [(name, v) for name, v in given if not isinstance(v, Tensor) and v is not None and v is not False]
    tensors = [v for _, v in given if isinstance(v, Tensor)]
    kind = tensors[0].device.type if tensors else "cpu"
    if torch.is_autocast_enabled(kind):
        others.append(("autocast", torch.get_autocast_dtype(kind)))
    return tensors, tuple(others)


def _asks_no_more(asked: Settings, kept: Settings) -> bool:
    """Whether a call differs from another one at most in giving out less of what it computes."""
    if not all(_is_simple(value) for _, value in (*asked, *kept)):
        return False
    one, other = ([each for each in own if not each[0].startswith(_GIVEN_OUT)] for own in (asked, kept))
    return one == other and all(each in kept for each in asked)


def _is_simple(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_simple, value))
    return isinstance(value, (bool, int, float, str, torch.dtype, torch.device))


def _outputs_for(
    kept: Sequence[Kept], tensors: Sequence[Tensor], settings: Settings
) -> Mapping[nn.Module, Sequence[Any]]:
    """What is kept for an encoder's call; nothing where it was called with other tensors, or with recorded ones."""
    own = [each for each in kept if _asks_no_more(settings, each.settings) and len(each.inputs) == len(tensors)]
    if not tensors or any(t.requires_grad for t in tensors):
        return {}
    for each in own:
        if all(map(_equal, each.inputs, tensors)):
            return each.outputs
    found = _rows([each for each in own if each.by_row], tensors)
    if found is None:
        return {}
    return {
        module: [_joined(run) for run in zip(*(each.outputs[module] for each in found), strict=True)]
        for module in found[0].outputs
    }


def _rows(kept: Sequence[Kept], tensors: Sequence[Tensor]) -> list[Kept] | None:
    """For each row of an encoder's input what is kept of it; None where there is one without."""
    x = tensors[0]
    if any(t.ndim == 0 or len(t) != len(x) for t in tensors):
        return None
    kept = [each for each in kept if all(map(_of_one_form, each.inputs, tensors))]
    if not kept:
        return None
    places = [(each, n) for each in kept for n in range(len(each.inputs[0]))]
    step = max(1, x[0].numel() // SAMPLES)
    known = torch.cat([each.inputs[0].flatten(1)[:, ::step] for each in kept])
    alike = (x.flatten(1)[:, None, ::step] == known).all(2)
    if not alike.any(1).all():
        return None
    at = [places[place] for place in alike.int().argmax(1).tolist()]
    rows: dict[tuple[Kept, int], Kept] = {}
    for place in at:
        rows.setdefault(place, place[0].row(place[1]))
    found = [rows[place] for place in at]
    same = (torch.equal(t[n], own.inputs[i][0]) for n, own in enumerate(found) for i, t in enumerate(tensors))
    return found if all(same) else None


def _of_one_form(one: Tensor, other: Tensor) -> bool:
    return one.shape[1:] == other.shape[1:] and one.dtype == other.dtype and one.device == other.device


def _joined(outputs: Sequence[Any]) -> Any:
    """Outputs of one row each as one; places that are only held stay so."""
    columns = zip(*(list(tensors_in(output)) for output in outputs), strict=True)
    rows = iter(
        [own[0].expand(len(own), *own[0].shape[1:]) if _is_place(own[0]) else torch.cat(own) for own in columns]
    )
    return map_tensors(outputs[0], lambda _: next(rows))


def _equal(one: Tensor, other: Tensor) -> bool:
    return len(one) == len(other) and _of_one_form(one, other) and torch.equal(one, other)


def _again(kept: Kept, forward: Callable[[Tensor], Any], x: Tensor) -> Any:
    """The encoder's output from the layer on; None where it does not run."""
    found: list[Any] = []

    def whole(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        found.append(inner(*args, **kwargs))
        raise Reached

    with as_found(kept.model), begun([kept], kept.model):
        around = {kept.encoder: partial(whole, kept.encoder.forward)}
        with contextlib.suppress(Exception), instead(around):  # whatever comes of numbers that are none
            forward(x.clone())
    return found[0] if found else None


def _same(output: Any, again: Any) -> bool:
    """Whether two outputs are the same to rounding."""
    pairs = [list(tensors_in(output)), list(tensors_in(again))]
    if len(pairs[0]) != len(pairs[1]) or not pairs[0]:
        return False
    return all(map(_close, *pairs))


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().nan_to_num().max()) if one.numel() else 0)
