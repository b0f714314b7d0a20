"""A model's forward as a list of what its modules gave, in the order they were ready."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Size
from mmcam.engine.outputs import first_tensor, replace_tensor
from mmcam.places.grids import grid_at

PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity)
"""In eval mode they hand their input on."""


_POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)


@dataclass(frozen=True)
class Call:
    """One module's run in a traced forward, in the order the runs ended.

    Attributes:
        name: dotted name of the module.
        kind: its class name.
        shape: shape of its (first) output tensor.
        pooled: its output is that of a pooling module, itself or the last one inside it.
        map: (K,h,w) of the map it shows, as it is or in tokens; None if it shows none.
        form: "a map", or how it is kept: channels last, or in tokens.
        several: the output holds more than this tensor, so what follows may read another.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    pooled: bool
    map: tuple[int, int, int] | None = None
    form: str = ""
    several: bool = False


def trace(
    model: nn.Module,
    forward: Callable[[], Any],
    picture: Size,
    outputs: dict[str, Tensor] | None = None,
    rows: int | None = None,
) -> list[Call]:
    """Run a model once without gradients and list its modules' outputs in the order they were ready.

    Args:
        model: left as found.
        forward: runs it on pictures of (H,W) `picture`.
        picture: (H,W).
        outputs: if given, gradients are recorded, and each module's last output tensor is put here by its name; that of
            the forward itself by "".
        rows: N, if known: an output with another number of rows (windows, heads, words) shows no map.

    A module that hands one of its inputs on as it came (a drop path, a block that works on one of several scales)
    computes nothing at its output and is not listed.
    """
    recorder = _Recorder(model, picture, outputs, rows)
    with as_found(model), torch.set_grad_enabled(outputs is not None), recorder.on():
        result = forward()
    if outputs is not None and (last := first_tensor(result)) is not None:
        outputs[""] = last
    return recorder.calls


class _Recorder:
    """Hooks on all modules of a model that note what each gives."""

    def __init__(self, model: nn.Module, picture: Size, outputs: dict[str, Tensor] | None, rows: int | None) -> None:
        self.model, self.picture, self.outputs, self.rows = model, picture, outputs, rows
        self.calls: list[Call] = []
        self._inputs: dict[str, list[tuple[Tensor, int | None]]] = {}  # tensors as they went in, with their versions
        self._pooled: list[Tensor] = []  # kept alive, so that identity can be compared

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Note what runs inside."""
        handles: list[RemovableHandle] = []
        try:
            for name, module in self.model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # it takes no hooks
                handles.append(module.register_forward_pre_hook(partial(self._before, name), with_kwargs=True))
                handles.append(module.register_forward_hook(partial(self._after, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._inputs[name] = [(t, _version(t)) for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]

    def _after(self, name: str, module: nn.Module, inputs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        given = self._inputs.pop(name, ())
        if tensor is None or not name or isinstance(module, PASSING):
            return None
        # A changed version is an operation in place (nn.ReLU(inplace=True)), whose output is its input, too.
        if any(tensor is other and version == _version(tensor) for other, version in given):
            return None
        pooled = isinstance(module, _POOLING) or any(tensor is other for other in self._pooled)
        if pooled:
            self._pooled.append(tensor)
        self.calls.append(self._call(name, module, output, tensor, pooled))
        if self.outputs is None:
            return None
        # A copy is handed on, as the engine does: what the module itself made of its map is not the map's say.
        self.outputs[name] = tensor.clone()
        if pooled:
            self._pooled.append(self.outputs[name])
        return replace_tensor(output, self.outputs[name])

    def _call(self, name: str, module: nn.Module, output: Any, tensor: Tensor, pooled: bool) -> Call:
        counts = self.rows in (None, *tensor.shape[:1])
        grid = grid_at(self.model, name, tensor, self.picture) if counts else None
        shape = tuple(tensor.shape)
        several = not isinstance(output, Tensor)
        if grid is None:
            return Call(name, type(module).__name__, shape, pooled, several=several)
        # The whole tensor is read: some encoders keep the patches of all pictures in one long row.
        _, channels, h, w = grid.read(tensor.detach()).shape
        return Call(name, type(module).__name__, shape, pooled, (channels, h, w), grid.form, several)


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; inference tensors do not count it."""
    return None if tensor.is_inference() else tensor._version
