"""The rules of excitation backprop, and where in a forward pass winning probabilities start."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.outputs import first_tensor
from mmcam.errors import ExplainError
from mmcam.methods.excitation_head import Cells, cells_of
from mmcam.methods.operations import SMOOTH, Operation, Weighted, recognise, vjp
from mmcam.methods.rule_mode import RuleMode, Table


def rules(signed: bool) -> Table:
    """The paper's rules; activations count with their positive part, or (signed) as they are.

    The paper's activations are at least 0, where both are the same. Below 0 only positive parts make shares that are
    probabilities; signed ones still add up to what is handed down, but may be negative or greater than it.
    """
    return {
        "linear": partial(_weighed, signed),
        "conv2d": partial(_weighed, signed),
        "average": partial(_pooled, signed),
        "batch_norm": _handed_on,
        "relu": _handed_on,
        "add": partial(_split, signed),
    }


def _weighed(signed: bool, layer: Weighted, p: Tensor, x: Tensor) -> Tensor:
    """p'_j = x_j Σ_i w⁺_ij p_i / Σ_k w⁺_ik x_k."""
    positive = layer.weight.clamp(min=0)
    return _contributed(lambda x: layer.weigh(x, positive), x, p, signed)[0]


def _pooled(signed: bool, average: Operation, p: Tensor, x: Tensor) -> Tensor:
    """By value; evenly where nothing in the window counts."""
    won, left = _contributed(average.run, x, p, signed)
    return won + _contributed(average.run, torch.ones_like(x), left, signed)[0]


def _contributed(run: Callable[[Tensor], Tensor], x: Tensor, p: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """p shared out by what every x contributed to z = run(x), which is linear; and the p where z is 0."""
    x = x if signed else x.clamp(min=0)
    z, shares = vjp(run, x)
    some = z != 0 if signed else z > 0
    return x * shares(torch.where(some, p / torch.where(some, z, 1.0), 0.0)), torch.where(some, 0.0, p)


def _split(signed: bool, added: Operation, p: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """In the ratio of the two values."""
    a, b = (a, b) if signed else (a.relu(), b.relu())
    p = torch.where(a + b != 0, p / torch.where(a + b != 0, a + b, 1.0), 0.0)
    return p * a, p * b


def _handed_on(operation: Operation, p: Tensor, kept: Tensor) -> Tensor:
    return p


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


class ExcitationRule(RuleMode):
    """Excitation backprop as a second backward pass; it also keeps the top, and what below it has no rule.

    Max-pooling hands p to the winner, as its derivative does.

    Attributes:
        cells: of the last layer with weights, if its scores lie at several; known after the forward pass.
    """

    def __init__(self, signed: bool = False) -> None:
        super().__init__("excitation", rules(signed))
        self.cells: Cells | None = None
        self.seeing = True
        self._whole = True
        self._top: Tensor | None = None
        self._undefined: set[str] = set()
        self._pending: set[str] = set()

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
        if not (self.seeing and torch.is_grad_enabled() and _moving((*args, *kwargs.values()))):
            return func(*args, **kwargs)
        call = recognise(func, args, kwargs)
        if call is None:
            result = func(*args, **kwargs)
            self._pending |= _undefined(func, args, result)
            return result
        operation, inputs = call
        output = self.ruled(call)
        if self._whole and isinstance(operation, Weighted):
            self._top, self.cells = inputs[0], cells_of(operation, output)
            self._undefined |= self._pending
        return output


def _moving(given: tuple[Any, ...]) -> bool:
    """A map from the layer is among the arguments: what has no graph lies before it, and weights are no activations."""
    listed = (t for a in given if isinstance(a, (list, tuple)) for t in a)
    return any(isinstance(a, Tensor) and a.requires_grad and not isinstance(a, nn.Parameter) for a in (*given, *listed))


def _undefined(func: Callable[..., Any], args: tuple[Any, ...], result: Any) -> set[str]:
    """The name of an operation that excitation has no rule for; nothing where its own derivative hands p on, whole."""
    name = getattr(func, "__name__", "")
    tensor = first_tensor(result)
    if name in _MOVES or tensor is None or not tensor.requires_grad:
        return set()
    plain = name.strip("_")
    if plain in ("add", "radd", "iadd") and any(isinstance(a, (int, float)) and a == 0 for a in args):
        return set()  # how Python's sum() begins
    spoken = (_SPOKEN.get(form) for form in (plain, plain[1:]))  # __imul__ and __rmul__ are products too
    return {SMOOTH.get(func) or next(filter(None, spoken), plain)}
