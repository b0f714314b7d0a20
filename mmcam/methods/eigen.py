"""Principal components as maps: of a layer's activations alone, or of activations × gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcam.engine.run import Evidence
from mmcam.methods.cam import weighted_sum
from mmcam.methods.cam_family import register_cam


@register_cam("eigencam", "Muhammad & Yeasin, Eigen-CAM, arXiv 2008.00299, section III")
def eigencam(evidence: Evidence) -> tuple[Tensor, None]:
    """The activations projected on their first principal component, ``Σ_k v_k A^k``, v of the SVD of A (hw, K).

    It is the same for every target. The sign of a component is arbitrary: it is the one with which the map sums to more
    than 0, so that activations of ReLUs give a map without negative cells. Its weights are no reasons for a target.
    """
    a = evidence.activations.float()
    return weighted_sum(_component(a[None]), a).relu().expand(len(evidence.scores), -1, -1, -1), None


@register_cam("eigengradcam", "Gildenblat, pytorch-grad-cam, EigenGradCAM")
def eigengradcam(evidence: Evidence) -> tuple[Tensor, None]:
    """As `eigencam`, of activations × gradients, cell by cell, in place of the activations."""
    products = evidence.gradients.float() * evidence.activations.float()
    weights = _component(products)
    return torch.einsum("tnk,tnkhw->tnhw", weights, products).relu(), None


def _component(maps: Tensor) -> Tensor:
    """The first right singular vector (…, K) of maps (…, K, h, w), cells being rows; their projection sums to ≥ 0."""
    rows = maps.flatten(-2).transpose(-2, -1)
    # The eigenvector of the smaller of both products is the same, and does not need all of the other side's.
    vector = torch.linalg.svd(rows, full_matrices=False).Vh[..., 0, :]
    total = (rows.sum(-2) * vector).sum(-1, keepdim=True)
    return torch.where(total < 0, -vector, vector)
