"""Other rules for the backward pass of a ReLU, without touching a single module of the network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmcam.errors import ExplainError

Rule = Literal["plain", "guided", "deconv", "pass"]

# Every way PyTorch code spells a ReLU, with its arguments: torch.relu, relu_, Tensor.relu, F.relu (nn.ReLU calls it),
# F.relu6 and F.hardtanh (which nn.ReLU6 calls), a clamp at zero, a threshold at zero.
_PLAIN = ("input", "inplace")
_CLIPPED = ("input", "min_val", "max_val", "inplace")
_CLAMP = ("input", "min", "max")
_THRESHOLD = ("input", "threshold", "value", "inplace")
_FORMS: dict[Callable[..., Any], tuple[str, ...]] = {
    torch.relu: _PLAIN, Tensor.relu: _PLAIN, F.relu: _PLAIN, F.relu6: _PLAIN, F.hardtanh: _CLIPPED,
    torch.relu_: _PLAIN, Tensor.relu_: _PLAIN, F.relu_: _PLAIN, F.hardtanh_: _CLIPPED,
    torch.clamp: _CLAMP, Tensor.clamp: _CLAMP, torch.clip: _CLAMP, Tensor.clip: _CLAMP,
    torch.clamp_: _CLAMP, Tensor.clamp_: _CLAMP, torch.clip_: _CLAMP, Tensor.clip_: _CLAMP,
    torch.clamp_min: _CLAMP, Tensor.clamp_min: _CLAMP, torch.clamp_min_: _CLAMP, Tensor.clamp_min_: _CLAMP,
    F.threshold: _THRESHOLD, torch.threshold: _THRESHOLD, torch.threshold_: _THRESHOLD,
}  # fmt: skip
SMOOTH = {
    F.gelu: "GELU", F.silu: "SiLU", F.mish: "Mish", F.elu: "ELU", F.celu: "CELU", F.selu: "SELU",
    F.leaky_relu: "LeakyReLU", F.prelu: "PReLU", F.rrelu: "RReLU", F.hardswish: "Hardswish", F.softplus: "Softplus",
    F.elu_: "ELU", F.celu_: "CELU", F.selu_: "SELU", F.leaky_relu_: "LeakyReLU", F.rrelu_: "RReLU",
    torch.celu: "CELU", torch.selu: "SELU", torch.prelu: "PReLU", torch.rrelu: "RReLU", Tensor.prelu: "PReLU",
}  # fmt: skip


class ReluRule(TorchFunctionMode):
    """While active, every ReLU that runs gets a backward pass whose rule can be chosen later.

    Rules, for gradient g arriving at ReLU(x): plain ``g·[x>0]``; deconv ``g·[g>0]`` (Zeiler & Fergus, arXiv 1311.2901);
    guided ``g·[x>0]·[g>0]`` (Springenberg et al., arXiv 1412.6806, fig. 1); pass ``g``. ReLU6 counts as a ReLU that is
    also flat above 6.

    Raises:
        ExplainError: an unknown rule; on the forward pass, where the network uses an activation the rules are not
            defined for.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        if rule not in ("plain", "guided", "deconv"):
            raise ExplainError(f"There is no rule {rule!r} for ReLUs; choose 'plain', 'guided' or 'deconv'.")
        self.rule = rule
        self.active = False

    @contextlib.contextmanager
    def switch(self, on: bool) -> Iterator[None]:
        """Backward passes inside use the rule (on) or the plain derivative (off)."""
        self.active = on
        try:
            yield
        finally:
            self.active = False

    def current(self) -> Rule:
        """The rule a backward pass running now obeys."""
        return self.rule if self.active else "plain"

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
                f"The {self.rule} rule is defined for ReLU networks, and this one uses {SMOOTH[func]}; "
                "use method='gradcam', which works for any activation."
            )
        relu = as_relu(func, args, kwargs)
        if relu is not None and relu[0].requires_grad:
            return Relu.apply(relu[0], self.current, *relu[1:])
        return func(*args, **kwargs)


def as_relu(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, float | None, bool] | None:
    """(input, ceiling or None, whether in place) of a call that is a ReLU, None for any other call."""
    if func not in _FORMS:
        return None
    given = dict(zip(_FORMS[func], args, strict=False)) | kwargs
    ceiling: Any = 6.0 if func is F.relu6 else None
    if _FORMS[func] is _CLIPPED:
        floor, ceiling = given.get("min_val", -1.0), given.get("max_val", 1.0)
    elif _FORMS[func] is _CLAMP:
        floor, ceiling = given.get("min"), given.get("max")
    elif _FORMS[func] is _THRESHOLD:
        floor = given.get("threshold") or given.get("value")
    else:
        floor = 0.0
    if isinstance(floor, Tensor) or isinstance(ceiling, Tensor) or floor is None or floor != 0:
        return None  # it cuts somewhere else
    return given["input"], ceiling, bool(given.get("inplace", False)) or func.__name__.endswith("_")


class Relu(torch.autograd.Function):
    """ReLU that asks for its rule when the gradient arrives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: Callable[[], Rule], ceiling: float | None, in_place: bool) -> Tensor:
        """ReLU(x), cut at the ceiling if there is one."""
        if in_place:
            ctx.mark_dirty(x)
            y = x.relu_() if ceiling is None else x.clamp_(0, ceiling)
        else:
            y = x.relu() if ceiling is None else x.clamp(0, ceiling)
        ctx.save_for_backward(y)
        ctx.rule, ctx.ceiling = rule, ceiling
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        """The gradient by the rule of the moment."""
        (y,), (g,) = ctx.saved_tensors, gradients
        rule = ctx.rule()
        if rule == "pass":
            return g, None, None, None
        if rule == "deconv":
            return g.clamp(min=0), None, None, None
        # The output is positive just where the input was, so only the output is kept.
        g = torch.ops.aten.threshold_backward(g, y, 0)
        if ctx.ceiling is not None:
            g = g * (y < ctx.ceiling)
        if rule == "guided":
            g = g.clamp_(min=0)  # in place: this g is ours, unlike the one that arrived
        return g, None, None, None
