"""A model's forward as a list of what its modules gave, in the order they were ready."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.as_found import as_found
from mmcam.engine.outputs import first_tensor, picture_of, replace_tensor
from mmcam.places.grids import declared
from mmcam.places.path import Axes, Path

PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity)
"""In eval mode they hand their input on."""

Run = tuple[str, int]
"""A module's dotted name, and which of its runs in one forward, from 0."""

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
        run: which of its runs, from 0.
        kind: its class name.
        shape: shape of its (first) output tensor.
        floating: that tensor holds real numbers.
        passing: it computes nothing: one of its inputs is handed on as it came (a drop path, a block that works on one
            of several scales).
        pooled: its output is that of a pooling module, itself or the last one inside it.
        axes: those of pictures, rows and columns, if nothing before moved a cell from its part of the picture.
        declared: the model says how the output lies over the picture.
        several: the output holds more than this tensor, so what follows may read another.
    """

    name: str
    run: int
    kind: str
    shape: tuple[int, ...]
    floating: bool = True
    passing: bool = False
    pooled: bool = False
    axes: Axes | None = None
    declared: bool = False
    several: bool = False

    @property
    def key(self) -> Run:
        """The module's name and which of its runs."""
        return self.name, self.run


def trace(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, outputs: dict[Run | None, Tensor] | None = None
) -> list[Call]:
    """Run a model once and list its modules' outputs in the order they were ready.

    Args:
        model: left as found.
        forward: runs it on pictures.
        x: pictures (N,C,H,W).
        outputs: if given, gradients are recorded, and each run's output tensor is put here; that of the forward itself
            by None. Calls then do not say where their cells lie.
    """
    pictures = x.detach().clone()
    path = Path(pictures) if outputs is None else None
    recorder = _Recorder(model, picture_of(x), outputs, path)
    with as_found(model), torch.set_grad_enabled(outputs is not None), recorder.on():
        # A second copy: the model may work in place on its input.
        result = forward(pictures if path else pictures.requires_grad_().clone())
    if outputs is not None and (last := first_tensor(result)) is not None:
        outputs[None] = last
    return recorder.calls


class _Recorder:
    """The hooks on all modules during one forward."""

    def __init__(
        self,
        model: nn.Module,
        picture: tuple[int, int],
        outputs: dict[Run | None, Tensor] | None,
        path: Path | None,
    ) -> None:
        self.model, self.picture, self.outputs, self.path = model, picture, outputs, path
        self.calls: list[Call] = []
        self._runs: Counter[str] = Counter()
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
            with self.path or contextlib.nullcontext():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._inputs[name] = [(t, _version(t)) for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]

    def _after(self, name: str, module: nn.Module, inputs: Any, output: Any) -> Any:
        tensor, given = first_tensor(output), self._inputs.pop(name, ())
        if tensor is None or not name:
            return None
        # A changed version is an operation in place (nn.ReLU(inplace=True)), whose output is its input, too.
        handed_on = any(tensor is other and version == _version(tensor) for other, version in given)
        passing = isinstance(module, PASSING) or handed_on
        pooled = isinstance(module, _POOLING) or any(tensor is other for other in self._pooled)
        if pooled:
            self._pooled.append(tensor)
        run = self._runs[name]
        self._runs[name] += 1
        self.calls.append(
            Call(
                name,
                run,
                type(module).__name__,
                tuple(tensor.shape),
                tensor.is_floating_point(),
                passing,
                pooled,
                self.path.kept(tensor) if self.path else None,
                declared(self.model, name, tensor, self.picture) is not None,
                not isinstance(output, Tensor),
            )
        )
        if self.outputs is None or passing:
            return None
        # A copy is handed on, as the engine does: what the module itself made of its map is not the map's say.
        copy = self.outputs[name, run] = tensor.clone()
        if pooled:
            self._pooled.append(copy)
        return replace_tensor(output, copy)


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; inference tensors do not count it."""
    return None if tensor.is_inference() else tensor._version
