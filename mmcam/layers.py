"""Find the layer to explain: the last one that still has a spatial map, before it is pooled away."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mmcam.engine import ExplainError, as_found, first_tensor

_POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)

PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity)
"""In eval mode they hand their input on."""

_found: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Call:
    """One module's run in a traced forward, in the order the runs ended.

    Attributes:
        name: dotted name of the module.
        kind: its class name.
        shape: shape of its (first) output tensor.
        pooled: its output is that of a pooling module, itself or the last one inside it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    pooled: bool


def trace(model: nn.Module, forward: Callable[[], Any]) -> list[Call]:
    """Run a model once without gradients and list its modules' outputs in the order they were ready."""
    calls: list[Call] = []
    pooled_outputs: list[Tensor] = []  # kept alive, so that identity can be compared

    def record(name: str, module: nn.Module, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None or not name or isinstance(module, PASSING):
            return
        pooled = isinstance(module, _POOLING) or any(tensor is other for other in pooled_outputs)
        if pooled:
            pooled_outputs.append(tensor)
        calls.append(Call(name, type(module).__name__, tuple(tensor.shape), pooled))

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: record(name, module, output)

    with as_found(model):
        handles = [module.register_forward_hook(hook_for(name)) for name, module in model.named_modules()]
        try:
            forward()
        finally:
            for handle in handles:
                handle.remove()
    return calls


def spatial(calls: list[Call]) -> list[Call]:
    """The calls a map can be drawn at: (N,K,h,w) larger than 1×1, of modules that ran once, not a pooling's output.

    Maps of scores are left out: a last convolution with one channel a class, averaged to the output, is the answer
    itself rather than what it was computed from.
    """
    names = [call.name for call in calls]
    out = calls[-1].shape if calls else ()
    scores = out[1] if len(out) == 2 or (len(out) == 4 and out[2:] == (1, 1)) else None
    return [
        call
        for call in calls
        if len(call.shape) == 4
        and min(call.shape[2:]) > 1
        and not call.pooled
        and names.count(call.name) == 1
        and call.shape[1] != scores
    ]


def find_layer(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> str:
    """Name of the last spatial layer before pooling, from one traced forward; remembered for the model and input size.

    Raises:
        ExplainError: no layer gives a map (N,K,h,w), or the model goes on with tokens after the last one that does.
    """
    known, size = _found.setdefault(model, {}), tuple(x.shape[1:])
    if size in known:
        return known[size]
    calls = trace(model, lambda: forward(x))
    candidates = spatial(calls)
    if not candidates:
        raise ExplainError(f"No layer of {type(model).__name__} gives a spatial map (N,K,h,w) larger than 1×1.")
    last = candidates[-1]
    cells = last.shape[2] * last.shape[3]
    after = calls[calls.index(last) + 1 :]
    # A patch embedding followed by as many tokens (and a few more: class, registers) is a transformer's first step.
    tokens = [call for call in after if len(call.shape) == 3 and cells <= call.shape[1] <= cells + 8]
    if last.kind == "Conv2d" and tokens:
        raise ExplainError(
            f"{type(model).__name__} turns its picture into tokens after {last.name!r}; "
            "name a spatial layer with layer=."
        )
    known[size] = last.name
    return last.name
