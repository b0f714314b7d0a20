"""A model's forward as a list of what its modules gave, in the order they were ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.as_found import as_found
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
    picture: tuple[int, int],
    outputs: dict[str, Tensor] | None = None,
    rows: int | None = None,
) -> list[Call]:
    """Run a model once without gradients and list its modules' outputs in the order they were ready.

    Args:
        model: left as found.
        forward: runs it on pictures of (H,W) `picture`.
        picture: (H,W).
        outputs: if given, gradients are recorded, and each module's last output tensor is put here by its name.
        rows: N, if known: an output with another number of rows (windows, heads, words) shows no map.

    A module that hands one of its inputs on as it came (a drop path, a block that works on one of several scales)
    computes nothing at its output and is not listed.
    """
    calls: list[Call] = []
    given: dict[str, list[tuple[Tensor, int | None]]] = {}  # tensors as they went in, with their versions
    pooled_outputs: list[Tensor] = []  # kept alive, so that identity can be compared

    def record(name: str, module: nn.Module, output: Any) -> Any:
        tensor = first_tensor(output)
        came = given.pop(name, ())
        if tensor is None or not name or isinstance(module, PASSING):
            return None
        # A changed version is an operation in place (nn.ReLU(inplace=True)), whose output is its input, too.
        if any(tensor is other and version == _version(tensor) for other, version in came):
            return None
        pooled = isinstance(module, _POOLING) or any(tensor is other for other in pooled_outputs)
        if pooled:
            pooled_outputs.append(tensor)
        grid = grid_at(model, name, tensor, picture) if rows in (None, *tensor.shape[:1]) else None
        # The whole tensor: some encoders keep the patches of all pictures in one long row.
        shown = None if grid is None else tuple(grid.read(tensor.detach()).shape[1:])
        form, several = "" if grid is None else grid.form, not isinstance(output, Tensor)
        calls.append(Call(name, type(module).__name__, tuple(tensor.shape), pooled, shown, form, several))  # type: ignore[arg-type]
        if outputs is None:
            return None
        # A copy is handed on, as the engine does: what the module itself made of its map is not the map's say.
        outputs[name] = tensor.clone()
        if pooled:
            pooled_outputs.append(outputs[name])
        return replace_tensor(output, outputs[name])

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda module, inputs, output: record(name, module, output)

    def before(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, args: Any, kwargs: Any) -> None:
            given[name] = [(t, _version(t)) for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]

        return keep

    with as_found(model), torch.set_grad_enabled(outputs is not None):
        handles: list[RemovableHandle] = []
        try:
            for name, module in model.named_modules():
                handles.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
                handles.append(module.register_forward_hook(hook_for(name)))
            result = forward()
        finally:
            for handle in handles:
                handle.remove()
    if outputs is not None and (last := first_tensor(result)) is not None:
        outputs[""] = last
    return calls


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; inference tensors do not count it."""
    return None if tensor.is_inference() else tensor._version
