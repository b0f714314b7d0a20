"""The backward pass of excitation backprop, operation by operation, without touching a module of the network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmcam.engine.outputs import first_tensor
from mmcam.errors import ExplainError
from mmcam.methods.relu_rules import SMOOTH, Relu, as_relu

_POOLS = {F.avg_pool2d, F.adaptive_avg_pool2d, torch.mean, Tensor.mean, torch.sum, Tensor.sum}
_SUMS = {torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, Tensor.add_, Tensor.__iadd__}
# What only moves values about, or picks the greatest: its own derivative hands p on, whole.
_MOVES = {
    "__get__", "__getitem__", "_adaptive_max_pool2d", "_max_pool2d", "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices", "alpha_dropout", "amax", "cat", "channel_shuffle", "chunk", "clone",
    "concat", "concatenate", "contiguous", "double", "dropout", "dropout1d", "dropout2d", "dropout_", "expand",
    "expand_as", "feature_alpha_dropout", "flatten", "flip", "float", "half", "index_select", "max", "max_pool2d",
    "max_pool2d_with_indices", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape",
    "reshape_as", "roll", "select", "split", "squeeze", "stack", "swapaxes", "tensor_split", "to", "transpose",
    "type", "unbind", "unflatten", "unsqueeze", "view", "view_as",
}  # fmt: skip
_SPOKEN = {
    "mul": "products", "matmul": "products", "bmm": "products", "einsum": "products", "div": "quotients",
    "truediv": "quotients", "sub": "differences", "softmax": "a softmax", "sigmoid": "a sigmoid",
    "hardsigmoid": "a sigmoid", "scaled_dot_product_attention": "attention",
    "multi_head_attention_forward": "attention", "layer_norm": "layer normalisation",
    "group_norm": "group normalisation", "instance_norm": "instance normalisation",
    "local_response_norm": "local response normalisation", "conv_transpose2d": "transposed convolutions",
}  # fmt: skip


class ExcitationRule(TorchFunctionMode):
    """While active, operations get a second backward pass: ``p'_j = x_j Σ_i w⁺_ij p_i / Σ_k w⁺_ik x_k``.

    The rule holds for convolutions, linear layers and average pools, x ≥ 0. ReLU and batch norm hand p on; max-pooling
    hands it to the winner, as its derivative does; a sum of two maps splits it in the ratio of their values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = False
        self.seeing = True
        self._whole = True
        self._top: Tensor | None = None
        self._undefined: set[str] = set()
        self._pending: set[str] = set()

    @contextlib.contextmanager
    def switch(self) -> Iterator[None]:
        """Backward passes inside follow the rule."""
        self.active = True
        try:
            yield
        finally:
            self.active = False

    @contextlib.contextmanager
    def inside(self, vision: nn.Module | None) -> Iterator[None]:
        """Watch only what runs inside a module, whose output is the top; None: everything, up to the last layer."""
        if vision is None:
            yield
            return
        self.seeing = self._whole = False

        def enter(module: nn.Module, inputs: Any) -> None:
            self.seeing = True

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self.seeing = False
            self._top = first_tensor(output)
            self._undefined |= self._pending

        handles = [vision.register_forward_pre_hook(enter), vision.register_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def place(self) -> str:
        """The top in words."""
        return "the input of the last layer with weights" if self._whole else "the output of the picture's encoder"

    def top(self) -> Tensor:
        """Where winning probabilities start.

        Raises:
            ExplainError: nothing below it can be passed.
        """
        if self._undefined:
            raise ExplainError(
                f"Excitation backprop is not defined for {', '.join(sorted(self._undefined))}, which this network "
                "uses; use method='gradcam', which works for any network."
            )
        if self._top is None or not self._top.requires_grad:
            raise ExplainError(f"Behind the layer there is nothing that excitation could pass: {self.place()} is it.")
        return self._top

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # What has no graph lies before the layer; the weights are no activations.
        given = (*args, *kwargs.values())
        listed = (t for a in given if isinstance(a, (list, tuple)) for t in a)
        moving = any(
            isinstance(a, Tensor) and a.requires_grad and not isinstance(a, nn.Parameter) for a in (*given, *listed)
        )
        if not (self.seeing and moving and torch.is_grad_enabled()):
            return func(*args, **kwargs)
        if func in (F.linear, F.conv2d):
            return self._weighted(func, *args, **kwargs)
        if func in _POOLS or func is F.batch_norm:
            kwargs = dict(kwargs)
            x, rest = (kwargs.pop("input"), args) if "input" in kwargs else (args[0], args[1:])

            def run(x: Tensor) -> Tensor:
                return func(x, *rest, **kwargs)

            share = _handed_on if func is F.batch_norm else partial(_pooled, run)
            return _Ruled.apply(x, self, run, share)
        if (relu := as_relu(func, args, kwargs)) is not None:
            return Relu.apply(relu[0], lambda: "pass" if self.active else "plain", *relu[1:])
        if func in _SUMS and any(isinstance(a, (int, float)) and a == 0 for a in args):
            return func(*args, **kwargs)  # how Python's sum() begins
        if func in _SUMS and (pair := _summands(*args, **kwargs)) is not None:
            return _Split.apply(*pair, self, func in (Tensor.add_, Tensor.__iadd__))
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name not in _MOVES and (tensor := first_tensor(result)) is not None and tensor.requires_grad:
            plain = name.strip("_")
            spoken = (_SPOKEN.get(form) for form in (plain, plain[1:]))  # __imul__ and __rmul__ are products too
            self._pending.add(SMOOTH.get(func) or next(filter(None, spoken), plain))
        return result

    def _weighted(
        self, func: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **more: Any
    ) -> Any:
        if self._whole:
            self._top = input
            self._undefined |= self._pending

        def run(x: Tensor) -> Tensor:
            return func(x, weight, bias, *rest, **more)

        def positive(x: Tensor) -> Tensor:
            return func(x, weight.clamp(min=0), None, *rest, **more)

        return _Ruled.apply(input, self, run, partial(_weighed, positive))


def _summands(input: Any, other: Any, alpha: float = 1, out: None = None) -> tuple[Tensor, Tensor] | None:
    """The two maps that are added, None where it is something else that is added to one."""
    maps = isinstance(input, Tensor) and isinstance(other, Tensor) and input.shape == other.shape
    return (input, other) if maps and alpha == 1 and out is None else None


class _Ruled(torch.autograd.Function):
    """An operation with a second backward pass, which shares p out among what went in."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rule: ExcitationRule,
        run: Callable[[Tensor], Tensor],
        share: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule, ctx.run, ctx.share = rule, run, share
        return run(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (x,), (p,) = ctx.saved_tensors, gradients
        if ctx.rule.active:
            return ctx.share(x.detach(), p), None, None, None
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(ctx.run(x), x, p)[0], None, None, None


def _contributed(run: Callable[[Tensor], Tensor], x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """p shared out by what every x ≥ 0 contributed to z = run(x), which is linear; and the p where z is 0."""
    with torch.enable_grad():
        x = x.clamp(min=0).requires_grad_()
        z = run(x)
        (shares,) = torch.autograd.grad(z, x, torch.where(z > 0, p / torch.where(z > 0, z, 1.0), 0.0))
    return x.detach() * shares, torch.where(z > 0, 0.0, p)


def _weighed(positive: Callable[[Tensor], Tensor], x: Tensor, p: Tensor) -> Tensor:
    return _contributed(positive, x, p)[0]


def _pooled(run: Callable[[Tensor], Tensor], x: Tensor, p: Tensor) -> Tensor:
    """By value; evenly where nothing in the window is positive."""
    won, left = _contributed(run, x, p)
    return won + _contributed(run, torch.ones_like(x), left)[0]


def _handed_on(x: Tensor, p: Tensor) -> Tensor:
    return p


class _Split(torch.autograd.Function):
    """a + b, whose backward pass splits p in the ratio of a⁺ to b⁺."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, rule: ExcitationRule, in_place: bool) -> Tensor:
        ctx.save_for_backward(a.relu(), b.relu())
        ctx.rule = rule
        if in_place:
            ctx.mark_dirty(a)
            return a.add_(b)
        return a + b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (a, b), (p,) = ctx.saved_tensors, gradients
        if not ctx.rule.active:
            return p, p, None, None
        both = torch.where(a + b > 0, a + b, 1.0)
        return p * a / both, p * b / both, None, None
