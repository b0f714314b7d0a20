"""Calls of PyTorch that a rule for the backward pass may replace: their kind, their inputs, their own derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["linear", "conv2d", "average", "batch_norm", "add", "relu"]
Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call of an operation, as a function of the activations that go in; it holds all other arguments.

    Attributes:
        kind: the key of its rule in a table.
        run: from the inputs to the output.
        in_place: `run` overwrites its first input.
    """

    kind: Kind
    run: Callable[..., Tensor]
    in_place: bool = False

    def kept(self, *inputs: Tensor) -> tuple[Tensor, ...] | None:
        """What the backward pass needs of the inputs, as they are before `run`; None: it needs the output alone."""
        return inputs

    def derivative(self, gradient: Tensor, *kept: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The gradient at the inputs by the operation's own derivative."""
        (x,) = kept
        return vjp(self.run, x)[1](gradient)

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The output z of an input x, and the function from a gradient at z to the gradient at x."""
        return vjp(self.run, x)


@dataclass(frozen=True, kw_only=True)
class Weighted(Operation):
    """A linear layer or a convolution.

    Attributes:
        weight: of the layer.
        weigh: from an input and any weight of that shape to the output, without the bias.
    """

    weight: Tensor
    weigh: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Sum(Operation):
    """a + b, both of one shape."""

    def kept(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Copies: a sum keeps nothing itself, so networks overwrite what they have added."""
        return tuple(x.clone() for x in inputs)

    def derivative(self, gradient: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        """The gradient, twice."""
        return gradient, gradient


@dataclass(frozen=True, kw_only=True)
class Relu(Operation):
    """A ReLU.

    Attributes:
        ceiling: where it is flat again (6 for ReLU6), None for nowhere.
    """

    ceiling: float | None = None

    def kept(self, *inputs: Tensor) -> None:
        """Nothing: the output is positive just where the input was."""

    def derivative(self, gradient: Tensor, *kept: Tensor) -> Tensor:
        """The gradient where the output is positive and below the ceiling, in memory of its own."""
        (y,) = kept
        gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        return gradient if self.ceiling is None else gradient * (y < self.ceiling)


def vjp(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The output z = run(x), and the function from a gradient at z to the gradient at x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        z = run(x)
    return z.detach(), lambda gradient: torch.autograd.grad(z, x, gradient, retain_graph=True)[0]


Call = tuple[Operation, tuple[Tensor, ...]]
"""An operation and its inputs, apart: an operation kept for the backward pass may not hold what it overwrites."""


def recognise(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """What a call of `func` is; None where it is no operation that rules are written for."""
    read = _READERS.get(func)
    return None if read is None else read(func, *args, **kwargs)


def _weighted(
    func: Function, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **more: Any
) -> Call:
    def weigh(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        z: Tensor = func(x, weight, bias, *args, **more)
        return z

    kind: Kind = "linear" if func is F.linear else "conv2d"
    return Weighted(kind=kind, run=lambda x: weigh(x, weight, bias), weight=weight, weigh=weigh), (input,)


def _average(func: Function, input: Tensor, *args: Any, **more: Any) -> Call:
    return Operation(kind="average", run=lambda x: func(x, *args, **more)), (input,)


def _reduction(func: Function, input: Tensor, *args: Any, **more: Any) -> Call | None:
    """Over axes; the sum of a whole tensor, as of the scores of a batch, is no part of a network."""
    axes = args[0] if args else more.get("dim", more.get("axis"))
    return None if axes is None else _average(func, input, *args, **more)


def _batch_norm(func: Function, input: Tensor, *args: Any, **more: Any) -> Call:
    return Operation(kind="batch_norm", run=lambda x: func(x, *args, **more)), (input,)


def _add(func: Function, input: Any, other: Any, alpha: float = 1, out: None = None) -> Call | None:
    maps = isinstance(input, Tensor) and isinstance(other, Tensor) and input.shape == other.shape
    if not maps or alpha != 1 or out is not None:
        return None  # a constant, a bias, a scaled or broadcast map is added
    in_place = func in (Tensor.add_, Tensor.__iadd__)
    return Sum(kind="add", run=Tensor.add_ if in_place else Tensor.add, in_place=in_place), (input, other)


def _relu(func: Function, input: Tensor, inplace: bool = False) -> Call:
    return _rectified(func, input, 6.0 if func is F.relu6 else None, inplace)


def _clip(func: Function, input: Tensor, min: Any = None, max: Any = None, out: None = None) -> Call | None:
    return _rectified(func, input, max) if _zero(min) and not isinstance(max, Tensor) and out is None else None


def _hardtanh(
    func: Function, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Call | None:
    return _rectified(func, input, max_val, inplace) if _zero(min_val) else None


def _threshold(func: Function, input: Tensor, threshold: float, value: float, inplace: bool = False) -> Call | None:
    return _rectified(func, input, None, inplace) if _zero(threshold) and _zero(value) else None


def _zero(bound: Any) -> bool:
    return not isinstance(bound, Tensor) and bound is not None and bound == 0


def _rectified(func: Function, input: Tensor, ceiling: float | None, inplace: bool = False) -> Call:
    in_place = inplace or func.__name__.endswith("_")

    def run(x: Tensor) -> Tensor:
        if ceiling is None:
            return x.relu_() if in_place else x.relu()
        return x.clamp_(0, ceiling) if in_place else x.clamp(0, ceiling)

    return Relu(kind="relu", run=run, in_place=in_place, ceiling=ceiling), (input,)


# Every spelling PyTorch has, modules included, which call functions. A ReLU may be a clamp at zero, and nn.ReLU6 calls
# F.relu6 or F.hardtanh.
_READERS: dict[Function, Callable[..., Call | None]] = {
    F.linear: _weighted, F.conv2d: _weighted,
    F.avg_pool2d: _average, F.adaptive_avg_pool2d: _average,
    torch.mean: _reduction, Tensor.mean: _reduction, torch.sum: _reduction, Tensor.sum: _reduction,
    F.batch_norm: _batch_norm,
    torch.add: _add, Tensor.add: _add, Tensor.__add__: _add, Tensor.__radd__: _add,
    Tensor.add_: _add, Tensor.__iadd__: _add,
    torch.relu: _relu, Tensor.relu: _relu, F.relu: _relu, F.relu6: _relu,
    torch.relu_: _relu, Tensor.relu_: _relu, F.relu_: _relu,
    torch.clamp: _clip, Tensor.clamp: _clip, torch.clip: _clip, Tensor.clip: _clip,
    torch.clamp_: _clip, Tensor.clamp_: _clip, torch.clip_: _clip, Tensor.clip_: _clip,
    torch.clamp_min: _clip, Tensor.clamp_min: _clip, torch.clamp_min_: _clip, Tensor.clamp_min_: _clip,
    F.hardtanh: _hardtanh, F.hardtanh_: _hardtanh,
    F.threshold: _threshold, torch.threshold: _threshold, torch.threshold_: _threshold,
}  # fmt: skip

# Activations that are no ReLU, by the names people know them under.
SMOOTH = {
    F.gelu: "GELU", F.silu: "SiLU", F.mish: "Mish", F.elu: "ELU", F.celu: "CELU", F.selu: "SELU",
    F.leaky_relu: "LeakyReLU", F.prelu: "PReLU", F.rrelu: "RReLU", F.hardswish: "Hardswish", F.softplus: "Softplus",
    F.elu_: "ELU", F.celu_: "CELU", F.selu_: "SELU", F.leaky_relu_: "LeakyReLU", F.rrelu_: "RReLU",
    torch.celu: "CELU", torch.selu: "SELU", torch.prelu: "PReLU", torch.rrelu: "RReLU", Tensor.prelu: "PReLU",
}  # fmt: skip
