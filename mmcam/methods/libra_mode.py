"""LibraGrad: backward paths of a transformer pruned and scaled so that gradient × input adds up to the score.

What the network computes stays the same, bit for bit; what the gradient sees of it is linear in what flows through:

* attention hands gradients to the values alone: its probabilities count as fixed;
* layer and root-mean-square norms divide by a fixed deviation;
* GELU, SiLU and their like, which are x times a gate, keep the gate fixed, as does x times a sigmoid;
* a product of two things that both hang on the input, as in a gated MLP, hands half of the gradient to each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class LibraMode(TorchFunctionMode):
    """While active, what runs is recorded with LibraGrad's backward paths (see this file's top)."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        way = _WAYS.get(func) if torch.is_grad_enabled() else None
        kwargs = kwargs or {}
        return func(*args, **kwargs) if way is None else way(func, *args, **kwargs)


def _seen_as(exact: Tensor, linear: Tensor) -> Tensor:
    """What was computed, with the gradient of something else."""
    return exact.detach() + (linear - linear.detach())


def _gate(func: Callable[..., Tensor], x: Tensor, *args: Any, **more: Any) -> Tensor:
    """x times a fixed gate, f(x)/x; at 0, where that is not known, its limit f'(0)."""
    more.pop("inplace", None)
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        exact = func(at, *args, **more) if func not in _SWITCHED else func(at)
        (slope,) = torch.autograd.grad(exact.sum(), at)
    gate = torch.where(at == 0, slope, exact / torch.where(at == 0, 1.0, at)).detach()
    return _seen_as(exact, x * gate)


_SWITCHED = (F.silu, F.mish, F.hardswish)  # whose second argument is whether they work in place


def _layer_norm(
    func: Callable[..., Tensor],
    x: Tensor,
    shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    linear = centred / (centred.square().mean(axes, keepdim=True) + eps).sqrt().detach()
    return _seen_as(func(x, shape, weight, bias, eps), linear if weight is None else linear * weight)


def _rms_norm(
    func: Callable[..., Tensor], x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    least = torch.finfo(x.dtype).eps if eps is None else eps
    linear = x / (x.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + least).sqrt().detach()
    return _seen_as(func(x, shape, weight, eps), linear if weight is None else linear * weight)


def _fixed(func: Callable[..., Tensor], *args: Any, **more: Any) -> Tensor:
    return func(*args, **more).detach()


def _softmax(func: Callable[..., Tensor], *args: Any, **more: Any) -> Tensor:
    """Of attention (…,L,L') fixed; of a model's output (N,classes) as it is."""
    found = func(*args, **more)
    return found.detach() if found.ndim > 2 else found


def _attention(func: Callable[..., Any], query: Tensor, key: Tensor, *args: Any, **more: Any) -> Any:
    return func(query.detach(), key.detach(), *args, **more)


def _product(func: Callable[..., Tensor], a: Any, b: Any, **more: Any) -> Tensor:
    if not all(isinstance(x, Tensor) and x.requires_grad and not isinstance(x, nn.Parameter) for x in (a, b)) or more:
        return func(a, b, **more)
    for gate, gated in ((a, b), (b, a)):
        if gate.grad_fn is not None and gate.grad_fn.name() == "SigmoidBackward0":
            pruned: Tensor = gate.detach() * gated
            return pruned
    return _seen_as(func(a, b), (a * b.detach() + a.detach() * b) / 2)


_WAYS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.layer_norm: _layer_norm, torch.layer_norm: _layer_norm, F.rms_norm: _rms_norm,
    torch.rsqrt: _fixed, Tensor.rsqrt: _fixed,  # norms that are spelled out
    F.gelu: _gate, F.silu: _gate, F.mish: _gate, F.hardswish: _gate,
    torch.softmax: _softmax, F.softmax: _softmax, Tensor.softmax: _softmax,
    F.scaled_dot_product_attention: _attention, F.multi_head_attention_forward: _attention,
    torch.mul: _product, Tensor.mul: _product, Tensor.__mul__: _product, Tensor.__rmul__: _product,
}  # fmt: skip
