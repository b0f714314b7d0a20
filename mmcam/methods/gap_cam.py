"""CAM: the weights of a linear layer behind a global average pool, the special case that Grad-CAM generalises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mmcam.engine.run import Evidence
from mmcam.errors import ExplainError
from mmcam.methods.cam import weighted_sum
from mmcam.methods.cam_family import chosen, collect
from mmcam.methods.registry import Maps, Question, register
from mmcam.places.trace import trace

_NEEDS_GAP = (
    "CAM needs a global average pool and one linear layer straight after the layer, which this model does not have; "
    "method='gradcam' generalises it to any model."
)


def cam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """CAM: ``M = Σ_k w_k A^k`` with the weights of the linear layer behind a global average pool (arXiv 1512.04150).

    There dS/dA is w_k / Z at every cell, so its sum over the cells gives w_k for any linear target, contrasts included.
    The map is signed, without ReLU.

    Raises:
        ExplainError: the gradient differs between cells, so no global average pool follows the layer.
    """
    gradients = evidence.gradients.float()
    spread = gradients.amax(dim=(-2, -1)) - gradients.amin(dim=(-2, -1))
    if (spread > 1e-4 * gradients.abs().amax()).any():
        raise ExplainError(_NEEDS_GAP)
    weights = gradients.sum(dim=(-2, -1))
    return weighted_sum(weights, evidence.activations), weights


@register(
    "cam",
    "Zhou et al., Learning Deep Features for Discriminative Localization, arXiv 1512.04150, eq. 2",
    cost="2 forwards, 1 backward to the layer",
    needs="a global average pool and one linear layer behind the layer",
)
def _cam(
    question: Question, *, units: Sequence[int] | None = None, mask: Any = None, counterfactual: bool = False
) -> Maps:
    _check_linear_head(question)
    evidence = collect(question, counterfactual=counterfactual)
    values, weights = cam(evidence)
    if units is not None or mask is not None:  # after the weights were found: a part of the cells shows no pooling
        neurons = chosen(evidence.activations, units, mask)
        weights = weights * neurons.amax(dim=(-2, -1))
        evidence = replace(evidence, activations=evidence.activations * neurons)
        values = weighted_sum(weights, evidence.activations)
    return Maps(values, evidence.scores, weights, evidence.activations)


def _check_linear_head(question: Question) -> None:
    """Only one layer with weights may stand behind the layer, and nothing that bends the score."""
    q, layer = question, question.layer.name
    x = q.rows().per_text(q.x)
    calls = [call for call in trace(q.model, lambda pictures: q.forward(pictures, q.rows()), x) if not call.passing]
    modules = dict(q.model.named_modules())
    names = [call.name for call in calls]
    if layer not in names:
        return  # the engine says so better
    leaves = [m for name in names[names.index(layer) + 1 :] if not list((m := modules[name]).children())]
    linear = [m for m in leaves if isinstance(m, (nn.Linear, nn.Conv2d))]
    harmless = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Dropout, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d)
    if len(linear) != 1 or not all(isinstance(m, harmless) for m in leaves):
        raise ExplainError(_NEEDS_GAP)
