"""FullGrad: the gradient at the pixels and at every bias, each as a map, added up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Grid, Layer
from mmcam.engine.modules import find_module
from mmcam.engine.pixels import input_gradients
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, register

GAP = 0.01
"""Share of the score by which its parts may miss it."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_LINEAR = (nn.Conv2d, nn.Linear, *_NORMS)
# A ReLU has none: where it passes its input it takes nothing off, and elsewhere it gives nothing.
_BENT = (
    *(nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.CELU, nn.Mish),
    *(nn.Softplus, nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softsign),
)


@register(
    "fullgrad",
    "Srinivas & Fleuret, Full-Gradient Representation, arXiv 1905.00780, eqs. 4 and 7, section 3.2 (implicit biases)",
    cost="1 forward; 1 forward and 1 backward to the pixels a target",
    needs="convolutions, batch norms, linear layers and activations as modules, and a score linear in their output",
)
def fullgrad(question: Question) -> Maps:
    """``ψ(I ⊙ dS/dI) + Σ_l Σ_c ψ(b ⊙ dS/db)`` over all layers with maps and a bias, (T,N,H,W), not negative.

    ψ takes magnitudes, brings each picture's to 0…1 and enlarges them bilinearly. The bias of a batch norm holds what
    its mean takes off, that of an activation is what its tangent misses, f(z) − z f′(z). Before ψ the parts add up to
    the score, those of layers without a map included; where they do not, the method is not defined for the network.

    Raises:
        ExplainError: the parts do not add up to the score.
    """
    with as_found(question.model):
        layers, biases = _biased(question)
    each = [_of_target(replace(question, targets=[target]), layers, biases) for target in question.targets]
    return Maps(torch.cat([values for values, _ in each]), torch.cat([scores for _, scores in each]))


def _of_target(question: Question, layers: Sequence[Layer], biases: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One target's map (1,N,H,W) and scores (1,N)."""
    gradients, scores, evidence = input_gradients(question, layers=layers, zero=True)
    parts = gradients * question.x.detach()
    # In double precision: thousands of parts of either sign add up to one score.
    total = parts.double().sum((2, 3, 4))
    values = _scaled(parts).sum(2)
    for found, bias in zip(evidence, biases, strict=True):
        own = found.gradients * bias.to(found.gradients.dtype)
        total += own.double().sum((2, 3, 4))
        if own.shape[-2:] != (1, 1):
            # Added up first: enlarging is linear, and a layer has hundreds of channels.
            values += _enlarged(_scaled(own).sum(2, keepdim=True), values.shape[-2:])[:, :, 0]
    _check(total, scores.double())
    return values, scores


def _check(total: Tensor, scores: Tensor) -> None:
    worst = int(((total - scores).abs() - GAP * scores.abs()).flatten().argmax())
    parts, score = float(total.flatten()[worst]), float(scores.flatten()[worst])
    if abs(parts - score) > GAP * abs(score) + 1e-4:
        raise ExplainError(
            f"The parts of FullGrad add up to {parts:.4g} where the score is {score:.4g}: the network does more than "
            "its convolutions, batch norms, linear layers and activations say, or its score is not linear in what they "
            "give, as a probability; use method='gradcam', which needs neither."
        )


def _biased(question: Question) -> tuple[list[Layer], list[Tensor]]:
    """Every call of a layer with a bias, and the bias, which multiplies gradients (T,N,K,h,w)."""
    calls: dict[str, list[tuple[int, Tensor | None]]] = {}
    modules = dict(_places(question.model))

    def see(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        bias = _tangent(module, inputs[0]) if isinstance(module, _BENT) else _bias(modules[name])
        calls.setdefault(name, []).append((output.ndim, bias))

    with contextlib.ExitStack() as stack, torch.no_grad():
        for name, own in modules.items():
            if isinstance(own, _BENT):
                # Before its hook a module that works in place has changed its input: such a one sees a copy.
                stack.callback(own.register_forward_pre_hook(_copied).remove)
            seen = find_module(question.model, name).register_forward_hook(partial(see, name))
            stack.callback(seen.remove)
        question.alone(question.x.clone())
    layers, biases = list[Layer](), list[Tensor]()
    for name, each in calls.items():
        for call, (ndim, bias) in enumerate(each):
            if bias is None or not bias.any():
                continue
            # A linear layer of more dimensions has its channels last, and so perhaps has what follows.
            if ndim not in ((2,) if isinstance(modules[name], nn.Linear) else (2, 4)):
                kind = type(modules[name]).__name__
                raise ExplainError(
                    f"FullGrad reads maps (N,K,h,w) and vectors (N,K), and {kind} {name!r} gives {ndim} dimensions; "
                    "method='layercam' reads any layer."
                )
            grid = _MAP if ndim == 4 else _VECTOR
            layers.append(Layer(name, lambda tensor, size, grid=grid: grid, call))  # type: ignore[misc]
            biases.append(bias.reshape(*bias.shape, *[1] * (2 - max(0, bias.ndim - 2)))[: len(question.x)])
    return layers, biases


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Where the biases of a model are added, by name, and the module that has them.

    timm's batch norms have their activation inside: what they add it to is what their `drop` hands on.
    """
    for name, own in model.named_modules():
        if isinstance(own, _NORMS) and isinstance(getattr(own, "drop", None), nn.Identity):
            yield f"{name}.drop", own
        elif isinstance(own, (*_LINEAR, *_BENT)):
            yield name, own


def _bias(module: Any) -> Tensor | None:
    """(1,K) of a linear operation."""
    own = None if module.bias is None else module.bias.detach()
    if isinstance(module, _NORMS):
        if module.running_mean is None or module.running_var is None:
            raise ExplainError("FullGrad needs batch norms that keep their mean; this network has one that does not.")
        scale = (module.running_var + module.eps).rsqrt()
        shift = -module.running_mean * (scale if module.weight is None else scale * module.weight.detach())
        own = shift if own is None else shift + own
    return None if own is None else own[None]


def _tangent(module: nn.Module, z: Tensor) -> Tensor:
    """f(z) − z f′(z) of an activation f, in the shape of z."""
    with torch.enable_grad():
        inner = z.detach().clone().requires_grad_()
        output: Tensor = module.forward(inner * 1)  # a copy, which may be worked on in place; no hooks
        (slope,) = torch.autograd.grad(output.sum(), inner)
    return (output - inner * slope).detach()


def _copied(module: nn.Module, inputs: Any) -> Any:
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in inputs)


_MAP = Grid(lambda tensor: tensor, lambda tensor, maps: maps)
_VECTOR = Grid(lambda tensor: tensor[:, :, None, None], lambda tensor, maps: maps.flatten(1))


def _scaled(parts: Tensor) -> Tensor:
    """Magnitudes (1,N,C,h,w) of each picture from 0 to 1; nothing of a picture whose are all alike."""
    size = parts.abs().float()
    low, high = size.amin((2, 3, 4), keepdim=True), size.amax((2, 3, 4), keepdim=True)
    return torch.where(high > low, (size - low) / torch.where(high > low, high - low, 1.0), 0.0)


def _enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps[0], tuple(size), mode="bilinear", align_corners=False)[None]
