"""Rules for the backward pass, operation by operation, without touching a single module of the network.

A rule is a function ``(operation, gradient, *kept) -> gradient``: from the gradient at an operation's output to the one
at its input. `kept` is the input of a linear layer, convolution, average or batch norm; the output of a ReLU; the two
inputs of a sum, whose rule returns two gradients. A table names the rules by the kind of operation; what it does not
name keeps its own derivative.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mmcam.errors import ExplainError
from mmcam.methods.operations import SMOOTH, Call, Kind, Operation, recognise

BackwardRule = Callable[..., Tensor | tuple[Tensor, ...]]
Table = Mapping[Kind, BackwardRule]


@contextlib.contextmanager
def backward_rules(name: str, table: Table) -> Iterator[None]:
    """Every gradient that is taken of a forward pass inside the with-block follows the rules.

    Methods made of gradients then become others: ``gradient_x_input`` at the pixels and ``hirescam`` with
    ``relu=False`` at a layer show gradient × activation, which is the relevance of layer-wise relevance propagation.

    Args:
        name: of the rules, as messages call them.
        table: from the kind of an operation ("linear", "conv2d", "average", "batch_norm", "add", "relu") to its rule.

    Raises:
        ExplainError: there is no such kind; on the forward pass, where the network uses an activation that is no ReLU.
    """
    with RuleMode(name, table) as mode, mode.switch(True):
        yield


class RuleMode(TorchFunctionMode):
    """While active, the operations a table names get a second backward pass, which is switched on and off.

    Args:
        name, table: as in `backward_rules`.

    Raises:
        ExplainError: as in `backward_rules`.
    """

    def __init__(self, name: str, table: Table) -> None:
        super().__init__()
        kinds = get_args(Kind)
        for kind in table:
            if kind not in kinds:
                raise ExplainError(f"There is no kind of operation {kind!r}; rules are for {', '.join(kinds)}.")
        self.name = name
        self.table = table
        self._face = _Face()

    @contextlib.contextmanager
    def switch(self, on: bool) -> Iterator[None]:
        """Backward passes inside use the rules (on) or the operations' own derivatives (off)."""
        self._face.second = on
        try:
            yield
        finally:
            self._face.second = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in SMOOTH:
            raise ExplainError(
                f"The {self.name} rule is defined for ReLU networks, and this one uses {SMOOTH[func]}; "
                "use method='gradcam', which works for any activation."
            )
        call = recognise(func, args, kwargs)
        if call is None or call[0].kind not in self.table or not any(x.requires_grad for x in call[1]):
            return func(*args, **kwargs)
        return self.ruled(call)

    def ruled(self, call: Call) -> Tensor:
        """The output of an operation the table names, with both backward passes behind it."""
        operation, inputs = call
        output: Tensor = _TwoFaced.apply(operation, self.table[operation.kind], self._face, *inputs)
        return output


@dataclass
class _Face:
    """Which of the two backward passes runs; apart from the mode, which may hold a tensor of the graph that holds this.

    A graph whose nodes held what holds the graph would never be freed.
    """

    second: bool = False


class _TwoFaced(torch.autograd.Function):
    """An operation that asks, when the gradient arrives, whether its own derivative or the rule is wanted."""

    @staticmethod
    def forward(ctx: Any, operation: Operation, rule: BackwardRule, face: _Face, *inputs: Tensor) -> Tensor:
        kept = operation.kept(*inputs)
        if operation.in_place:
            ctx.mark_dirty(inputs[0])
        output = operation.run(*inputs)
        ctx.save_for_backward(*((output,) if kept is None else kept))
        ctx.operation, ctx.rule, ctx.face = operation, rule, face
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.face.second:
            given = ctx.rule(ctx.operation, *gradients, *ctx.saved_tensors)
        else:
            given = ctx.operation.derivative(*gradients, *ctx.saved_tensors)
        return None, None, None, *(given if isinstance(given, tuple) else (given,))
