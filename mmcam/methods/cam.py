"""Class activation maps: weighted sums of a layer's activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcam import engine, layers
from mmcam.engine import Evidence, ExplainError
from mmcam.methods.registry import Maps, Question, register


def gradcam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Grad-CAM: ``L = ReLU(Σ_k α_k A^k)`` with ``α_k = (1/Z) Σ_ij dS/dA^k_ij`` (arXiv 1610.02391, eqs. 1 and 2).

    Returns:
        (cams (T,N,h,w), weights α (T,N,K)), float32, not normalised.
    """
    # Reduced in float32: a half-precision mean over 14×14 cells loses the small gradients.
    weights = evidence.gradients.float().mean(dim=(-2, -1))
    return weighted_sum(weights, evidence.activations).relu(), weights


def cam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """CAM: ``M = Σ_k w_k A^k`` with the weights of the linear layer behind a global average pool (arXiv 1512.04150).

    There dS/dA is w_k / Z at every cell, so its sum over the cells gives w_k for any linear target, contrasts included.

    Returns:
        (maps (T,N,h,w), signed, without ReLU; weights w (T,N,K)), float32.

    Raises:
        ExplainError: the gradient differs between cells, so no global average pool follows the layer.
    """
    gradients = evidence.gradients.float()
    spread = gradients.amax(dim=(-2, -1)) - gradients.amin(dim=(-2, -1))
    if (spread > 1e-4 * gradients.abs().amax()).any():
        raise ExplainError(_NEEDS_GAP)
    weights = gradients.sum(dim=(-2, -1))
    return weighted_sum(weights, evidence.activations), weights


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k α_k A^k: (T,N,K) and (N,K,h,w) → (T,N,h,w), float32."""
    return torch.einsum("tnk,nkhw->tnhw", weights, activations.float())


_NEEDS_GAP = (
    "CAM needs a global average pool and one linear layer straight after the layer, which this model does not have; "
    "method='gradcam' generalises it to any model."
)


@register("gradcam", "Selvaraju et al., Grad-CAM, arXiv 1610.02391, eqs. 1–2")
def _gradcam(question: Question) -> Maps:
    evidence = _evidence(question)
    return Maps(*_with_scores(gradcam(evidence), evidence))


@register("cam", "Zhou et al., Learning Deep Features for Discriminative Localization, arXiv 1512.04150, eq. 2")
def _cam(question: Question) -> Maps:
    _check_linear_head(question)
    evidence = _evidence(question)
    return Maps(*_with_scores(cam(evidence), evidence))


def _evidence(question: Question) -> Evidence:
    q = question
    return engine.run(q.model, q.forward, q.x, q.targets, q.layer, call=q.call, fan=q.fan)


def _with_scores(maps: tuple[Tensor, Tensor], evidence: Evidence) -> tuple[Tensor, Tensor, Tensor]:
    values, weights = maps
    return values, evidence.scores, weights


def _check_linear_head(question: Question) -> None:
    """Only one layer with weights may stand behind the layer, and nothing that bends the score."""
    calls = layers.trace(question.model, lambda: question.forward(question.x.repeat(question.fan, 1, 1, 1), 1))
    modules = dict(question.model.named_modules())
    names = [call.name for call in calls]
    if question.layer not in names:
        return  # the engine says so better
    leaves = [m for name in names[names.index(question.layer) + 1 :] if not list((m := modules[name]).children())]
    linear = [m for m in leaves if isinstance(m, (nn.Linear, nn.Conv2d))]
    harmless = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Dropout, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d)
    if len(linear) != 1 or not all(isinstance(m, harmless) for m in leaves):
        raise ExplainError(_NEEDS_GAP)
