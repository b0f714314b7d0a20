"""The gradients of several targets of one recorded forward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def vectorised(scores: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """The gradients (T, …) of scores (T, N) at each input, in one backward pass where every operation allows it.

    None at an input that no target depends on. The graph is kept.
    """
    one_hot = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)[:, :, None].expand(
        -1, -1, scores.shape[1]
    )
    try:
        return torch.autograd.grad(scores, inputs, one_hot, retain_graph=True, is_grads_batched=True, allow_unused=True)
    except RuntimeError:  # an operation without a batching rule: one backward a target is exact too
        rows = [_alone(score, inputs, keep=True) for score in scores]
        return [_stacked(own, x) for own, x in zip(zip(*rows, strict=True), inputs, strict=True)]


def of_each(scores: Sequence[Tensor], inputs: Sequence[Tensor], size: int, keep: bool) -> list[Sequence[Tensor | None]]:
    """For each target's scores (N,) its gradient at every input, None where it does not depend on it.

    Args:
        scores: of T targets, recorded.
        inputs: where.
        size: targets a backward pass, which bounds its memory.
        keep: the graph is needed again; else it is freed with the last target.
    """
    if size < 2:
        return [_alone(score, inputs, keep or i + 1 < len(scores)) for i, score in enumerate(scores)]
    found: list[Sequence[Tensor | None]] = []
    for start in range(0, len(scores), size):
        part = scores[start : start + size]
        with torch.enable_grad():
            together = vectorised(torch.stack(list(part)), inputs)
        for i, score in enumerate(part):
            own = [None if gradient is None else gradient[i] for gradient in together]
            # Beside others that have a gradient, that of a target which has none comes as zeros.
            some = any(gradient is not None and gradient.any() for gradient in own)
            found.append(own if some else _alone(score, inputs, keep=True))
    return found


def _alone(score: Tensor, inputs: Sequence[Tensor], keep: bool) -> Sequence[Tensor | None]:
    return torch.autograd.grad(score, inputs, torch.ones_like(score), retain_graph=keep, allow_unused=True)


def _stacked(gradients: Sequence[Tensor | None], x: Tensor) -> Tensor | None:
    """Of several targets, those without one have a gradient of zero; None if none has one."""
    if all(gradient is None for gradient in gradients):
        return None
    return torch.stack([torch.zeros_like(x) if gradient is None else gradient for gradient in gradients])
