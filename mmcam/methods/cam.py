"""Class activation maps: sums of a layer's activations, weighted by the target's gradient there.

Each method is a pure function of `Evidence` (A (N,K,h,w), g = dS/dA (T,N,K,h,w)) that returns un-normalised float32
maps (T,N,h,w) and, where it has one number a channel, the weights (T,N,K).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mmcam.engine.run import Evidence
from mmcam.errors import ExplainError
from mmcam.methods.cam_family import register_cam


@register_cam("gradcam", "Selvaraju et al., Grad-CAM, arXiv 1610.02391, eqs. 1–2")
def gradcam(
    evidence: Evidence, *, relu: bool = True, absolute: bool = False, pooling: Literal["mean", "max"] = "mean"
) -> tuple[Tensor, Tensor]:
    """Grad-CAM: ``L = ReLU(Σ_k α_k A^k)`` with ``α_k = (1/Z) Σ_ij dS/dA^k_ij`` (arXiv 1610.02391, eqs. 1 and 2).

    Args:
        evidence: activations and gradients.
        relu, absolute, pooling: the paper's ablations: no ReLU at the end; |dS/dA| averaged; the gradient's maximum
            over the cells in place of its mean.
    """
    # Reduced in float32: a half-precision mean over 14×14 cells loses the small gradients.
    gradients = evidence.gradients.float()
    gradients = gradients.abs() if absolute else gradients
    if pooling not in ("mean", "max"):
        raise ExplainError(f"There is no pooling {pooling!r} of gradients; choose 'mean' or 'max'.")
    if pooling == "mean":
        weights = gradients.mean(dim=(-2, -1))
    else:
        hidden = None if evidence.cells is None else evidence.cells == 0
        weights = (gradients if hidden is None else gradients.masked_fill(hidden, -torch.inf)).amax(dim=(-2, -1))
    summed = weighted_sum(weights, evidence.activations)
    return summed.relu() if relu else summed, weights


@register_cam("gradcam++", "Chattopadhyay et al., Grad-CAM++, arXiv 1710.11063, eqs. 10 and 19")
def gradcam_plus_plus(evidence: Evidence, *, normalise: bool = True) -> tuple[Tensor, Tensor]:
    """Grad-CAM++: ``w_k = Σ_ij a_ij ReLU(dY/dA^k_ij)``, Y = e^S (Chattopadhyay et al., arXiv 1710.11063, eqs. 10, 19).

    The derivatives of Y are e^S·g, e^S·g² and e^S·g³ where the network behind the layer is piecewise linear. The factor
    cancels inside a and only scales w, so it is left out: e^S overflows.

    Args:
        evidence: activations and gradients.
        normalise: a sums to 1 over the cells of a channel whose gradient is positive, as in the official code
            (github.com/adityac94/Grad_CAM_plus_plus); False is the formula of the paper.
    """
    g, a = evidence.gradients.float(), evidence.activations.float()
    # g² / (2g² + g³ ΣA), reduced by g², which would under- and overflow; not where the denominator is 0, taken as 1.
    denominator = 2 + a.sum(dim=(-2, -1), keepdim=True) * g
    return plus_plus(a, g, torch.where(denominator == 0, g**2, 1.0), denominator, normalise)


def plus_plus(
    activations: Tensor, first: Tensor, numerator: Tensor, denominator: Tensor, normalise: bool
) -> tuple[Tensor, Tensor]:
    """The map of Grad-CAM++ from the first derivative of Y and the fraction a, each (T,N,K,h,w).

    As in the official code a zero denominator counts as 1.
    """
    shares = numerator / torch.where(denominator == 0, 1.0, denominator)
    positive = first.relu()
    if normalise:
        total = torch.where(positive > 0, shares, 0.0).sum(dim=(-2, -1), keepdim=True)
        shares = shares / torch.where(total == 0, 1.0, total)
    weights = (shares * positive).sum(dim=(-2, -1))
    return weighted_sum(weights, activations).relu(), weights


@register_cam("layercam", "Jiang et al., LayerCAM, IEEE TIP 2021, eqs. 6–8")
def layercam(evidence: Evidence) -> tuple[Tensor, None]:
    """LayerCAM: ``M = ReLU(Σ_k ReLU(g^k) ⊙ A^k)``, a weight for every cell (Jiang et al., TIP 2021, eqs. 6–8)."""
    return _cellwise(evidence.gradients.float().relu(), evidence.activations).relu(), None


@register_cam("xgradcam", "Fu et al., Axiom-based Grad-CAM, arXiv 2008.02312, eq. 6")
def xgradcam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """XGrad-CAM: Grad-CAM with ``α_k = Σ_ij g_ij A_ij / Σ_ij A_ij`` (Fu et al., arXiv 2008.02312, eq. 6).

    A channel whose activations sum to 0 gets weight 0.
    """
    a = evidence.activations.float()
    total = a.sum(dim=(-2, -1))
    share = (evidence.gradients.float() * a).sum(dim=(-2, -1))
    weights = torch.where(total == 0, 0.0, share / torch.where(total == 0, 1.0, total))
    return weighted_sum(weights, a).relu(), weights


@register_cam("hirescam", "Draelos & Carin, HiResCAM, arXiv 2011.08891, eq. 3")
def hirescam(evidence: Evidence, *, relu: bool = True) -> tuple[Tensor, None]:
    """HiResCAM: ``M = Σ_k g^k ⊙ A^k``, without averaging (Draelos & Carin, arXiv 2011.08891, eq. 3).

    Args:
        evidence: activations and gradients.
        relu: only what speaks for the target; False is the paper's signed map, whose sum is the score (less the
            bias) where one linear layer follows.
    """
    summed = _cellwise(evidence.gradients.float(), evidence.activations)
    return summed.relu() if relu else summed, None


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k α_k A^k: (T,N,K) and (N,K,h,w) → (T,N,h,w), float32."""
    return torch.einsum("tnk,nkhw->tnhw", weights, activations.float())


def _cellwise(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k w^k ⊙ A^k: (T,N,K,h,w) and (N,K,h,w) → (T,N,h,w), float32."""
    return torch.einsum("tnkhw,nkhw->tnhw", weights, activations.float())
