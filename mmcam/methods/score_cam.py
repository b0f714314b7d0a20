"""Score-CAM: a picture is seen through a layer's channels, one at a time, and the scores weigh them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.errors import ExplainError
from mmcam.methods.cam import weighted_sum
from mmcam.methods.cam_family import CamOptions, chosen
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.variants import ROWS, Precision, activations_of, chunks, picture_scores


@register(
    "scorecam",
    "Wang et al., Score-CAM, arXiv 1910.01279, eqs. 3–7 and algorithm 1",
    family="perturbation",
    cost="K + 1 forwards (K channels of the layer)",
)
def scorecam(
    question: Question,
    *,
    units: Sequence[int] | None = None,
    mask: Any = None,
    rows: int = ROWS,
    dtype: Precision | None = None,
) -> Maps:
    """ReLU(Σ_k α_k A^k), α the softmax over channels of the score of the picture seen through channel k.

    A channel is enlarged to the picture and scaled to 0..1 before it is multiplied with it; one that is constant shows
    nothing.

    Args:
        question: what is asked.
        units, mask: channels and cells of the layer that count (see `mmcam.methods.cam_family`).
        rows: pictures sent through the model at a time.
        dtype: "bfloat16" or "float16" to compute the passes in (autocast), made for GPUs; many CPUs take much
            longer. The map then has two or three digits. Default as the model is.
    """
    q, x = question, question.x
    activations, scores = activations_of(q)
    activations = activations * chosen(activations, units, mask)
    asked = list(range(activations.shape[1])) if units is None else sorted(set(units))
    every = torch.tensor(asked, device=x.device).expand(len(activations), -1)
    each = _seen_through(q, activations, every, rows, dtype, "Score-CAM")
    weights = scores.new_zeros(*scores.shape, activations.shape[1], dtype=torch.float32)
    weights[..., asked] = each.float().softmax(dim=1).transpose(1, 2)
    return Maps(weighted_sum(weights, activations).relu(), scores, weights, activations)


@register(
    "gscorecam",
    "Chen et al., gScoreCAM, ACCV 2022, section 3",
    family="perturbation",
    cost="1 backward to the layer, share · K + 2 forwards a target (K channels of the layer)",
)
def gscorecam(
    question: Question,
    *,
    share: float = 0.1,
    units: Sequence[int] | None = None,
    mask: Any = None,
    rows: int = ROWS,
    dtype: Precision | None = None,
) -> Maps:
    """Score-CAM of the channels with the greatest mean gradient alone, for each picture and target its own.

    Args:
        question: what is asked.
        share: of the channels that are tried, at least one; the paper takes the tenth with the greatest gradient.
        units, mask, rows, dtype: as in `scorecam`.

    Raises:
        ExplainError: a share that is none.
    """
    if not 0 < share <= 1:
        raise ExplainError(f"share={share} of the channels is none; pass 0 < share ≤ 1.")
    evidence = CamOptions(units=units, mask=mask).evidence(replace(question, others=()))[0]
    means = evidence.gradients.float().mean((-2, -1))
    if units is not None:
        absent = torch.ones(means.shape[-1], dtype=torch.bool, device=means.device)
        absent[list(units)] = False
        means = means.masked_fill(absent, -torch.inf)
    count = max(1, round(share * (means.shape[-1] if units is None else len(set(units)))))
    asked = means.topk(count, dim=-1).indices
    weights = torch.zeros_like(means)
    for t, (target, own) in enumerate(zip(question.targets, asked, strict=True)):
        one = replace(question, targets=[target])
        scores = _seen_through(one, evidence.activations, own, rows, dtype, "gScoreCAM")
        weights[t] = weights[t].scatter(1, own, scores[0].float().softmax(0).T)
    values = weighted_sum(weights, evidence.activations).relu()
    return Maps(values, evidence.scores, weights, evidence.activations)


def _seen_through(
    q: Question, activations: Tensor, asked: Tensor, rows: int, dtype: Precision | None, what: str
) -> Tensor:
    """The scores (T,M,N) of each picture seen through M of its channels.

    A channel is enlarged to the picture, scaled to 0…1 and multiplied with it.

    Args:
        q: what is asked.
        activations: of the layer (N,K,h,w).
        asked: channels of each picture (N,M).
        rows, dtype: as in `scorecam`.
        what: for the progress bar.
    """
    each, pictures = [], torch.arange(len(activations), device=asked.device)[:, None]
    for part in chunks(asked.shape[1], q, rows, what):
        maps = activations[pictures, asked[:, list(part)]].float()
        up = F.interpolate(maps, q.x.shape[-2:], mode="bilinear", align_corners=False)
        # Before it is enlarged, which would make a constant map vary in its last digit.
        varies = maps.amax(dim=(-2, -1), keepdim=True) > maps.amin(dim=(-2, -1), keepdim=True)
        low, high = up.amin(dim=(-2, -1), keepdim=True), up.amax(dim=(-2, -1), keepdim=True)
        through = torch.where(varies, (up - low) / torch.where(varies, high - low, 1.0), 0.0)
        each.append(picture_scores(q, q.x * through.to(q.x.dtype).transpose(0, 1)[:, :, None], dtype))
    return torch.cat(each, dim=1)
