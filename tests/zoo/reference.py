"""Grad-CAM by ordinary backpropagation at a layer as it is, without a thought of where its cells lie."""

from typing import Any

import torch
from torch import Tensor, nn


def tensor_of(output: Any) -> Tensor:
    """The first tensor of a layer's output."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if hasattr(output, "values") else output))
    return output


def logits_of(output: Any) -> Tensor:
    """(N, classes)"""
    return output.logits if hasattr(output, "logits") else tensor_of(output)


def score_of(target: Any, output: Any) -> Tensor:
    return target(output) if callable(target) else logits_of(output)[:, target]


def raw_evidence(model: nn.Module, x: Tensor, target: Any, layer: str, call: int | None) -> tuple[Tensor, Tensor]:
    """A layer's output, as it is, and the gradient of one picture's score there."""
    kept: list[Tensor] = []
    gradients: list[Tensor] = []
    calls = iter(range(1000))

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if next(calls) != (call or 0):
            return None
        tensor = tensor_of(output)
        kept.append(tensor.detach().clone())
        leaf = None if tensor.requires_grad else tensor.detach().requires_grad_()  # of an encoder under no_grad
        (tensor if leaf is None else leaf).register_hook(lambda gradient: gradients.append(gradient.clone()))
        return leaf

    handle = model.get_submodule(layer).register_forward_hook(hook)
    try:
        with torch.enable_grad():
            score = score_of(target, model(x.clone().requires_grad_()))
            score.sum().backward()
    finally:
        handle.remove()
        model.zero_grad(set_to_none=True)
    return kept[0], sum(gradients, torch.zeros_like(kept[0]))


def in_cells(raw: Tensor, gradient: Tensor, activations: Tensor) -> Tensor | None:
    """The gradient at each cell of a map, found by its own values among the layer's; None if they are not there."""
    channels, h, w = activations.shape
    cells = activations.flatten(1).T
    for axis in [axis for axis in range(1, raw.ndim) if raw.shape[axis] == channels]:
        vectors, slopes = (t.movedim(axis, -1).reshape(-1, channels) for t in (raw, gradient))
        if len(vectors) == len(cells) and torch.allclose(vectors, cells, rtol=1e-4, atol=1e-6):
            return slopes.T.reshape(channels, h, w)
        distances = torch.cdist(cells[None], vectors[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
        nearest = distances.argmin(1)
        if (distances.gather(1, nearest[:, None]) <= 1e-4 * cells.norm(dim=1).amax() + 1e-7).all():
            return slopes[nearest].T.reshape(channels, h, w)
    return None


def gradcam(activations: Tensor, gradient: Tensor) -> Tensor:
    """(K,h,w) twice → (h,w)."""
    return (gradient.mean((1, 2), keepdim=True) * activations).sum(0).relu()


def differ(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))
