"""Change the picture or the layer, see what happens to the score: no gradient, any model, many forward passes.

Work is streamed: at most `rows` pictures go through the model at a time, and every pass serves all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.errors import ExplainError
from mmcam.methods.cam import weighted_sum
from mmcam.methods.cam_family import chosen
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.variants import ROWS, Precision, activation_scores, activations_of, chunks, picture_scores


@register(
    "occlusion",
    "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, arXiv 1311.2901, section 4.2",
    family="perturbation",
    cost="1 + (⌈(H − patch)/stride⌉ + 1)·(⌈(W − patch)/stride⌉ + 1) forwards",
)
def occlusion(
    question: Question,
    *,
    patch: int = 32,
    stride: int = 16,
    fill: float = 0.0,
    rows: int = ROWS,
    dtype: Precision | None = None,
) -> Maps:
    """How far the score falls where a square is covered, (T,N,H,W), signed.

    A pixel's value is the mean fall over the squares that cover it. Squares that reach over the border are cut.

    Args:
        question: what is asked.
        patch, stride: side and step of the square in pixels of the model's input; the Grad-CAM paper does not say its.
        fill: value of the square in units of the model's input; 0 is the mean colour of the training data.
        rows: pictures sent through the model at a time.
        dtype: "bfloat16" or "float16" to compute the passes in (autocast), made for GPUs; many CPUs take much
            longer. The map then has two or three digits. Default as the model is.

    Raises:
        ExplainError: a patch or stride below 1, or a stride that leaves pixels uncovered.
    """
    if not 1 <= stride <= patch:
        raise ExplainError(f"patch={patch} with stride={stride} leaves gaps; pass 1 ≤ stride ≤ patch.")
    q, x = question, question.x
    height, width = x.shape[-2:]
    squares = [
        (slice(top, top + patch), slice(left, left + patch))
        for top in _starts(height, patch, stride)
        for left in _starts(width, patch, stride)
    ]
    scores = picture_scores(q, x[None], dtype)[:, 0]
    falls = scores.new_zeros(*scores.shape, height, width)
    covered = scores.new_zeros(height, width)
    for part in chunks(len(squares), q, rows, "Occlusion"):
        pictures = x.expand(len(part), *x.shape).clone()
        for m, i in enumerate(part):
            pictures[(m, ..., *squares[i])] = fill
        fall = scores[:, None] - picture_scores(q, pictures, dtype)
        for m, i in enumerate(part):
            falls[(..., *squares[i])] += fall[:, m, :, None, None]
            covered[squares[i]] += 1
    return Maps(falls / covered, scores)


@register(
    "rise",
    "Petsiuk et al., RISE, arXiv 1806.07421, eqs. 5–6",
    family="perturbation",
    cost="n + 1 forwards",
)
def rise(
    question: Question,
    *,
    n: int = 1000,
    cells: int = 7,
    share: float = 0.5,
    seed: int = 0,
    rows: int = ROWS,
    dtype: Precision | None = None,
) -> Maps:
    """How much higher the score is, on average, when a pixel is seen through a random mask: (T,N,H,W), signed.

    The paper's E[S | pixel seen], less the mean score over all masks; so the map's zero means "makes no difference"
    whatever the score's own zero is, and fewer masks suffice.

    Args:
        question: what is asked.
        n: number of masks (the paper takes 4000 for VGG-16, 8000 for ResNet-50).
        cells: the masks are drawn on a grid of cells × cells and enlarged smoothly, shifted at random.
        share: probability that a cell is open.
        seed: of the masks; the same seed gives the same map.
        rows: pictures sent through the model at a time.
        dtype: "bfloat16" or "float16" to compute the passes in (autocast), made for GPUs; many CPUs take much
            longer. The map then has two or three digits. Default as the model is.

    Raises:
        ExplainError: a number of masks or cells below 1, or a share that is none.
    """
    if n < 2 or cells < 1 or not 0 < share < 1:
        raise ExplainError(f"n={n}, cells={cells}, share={share} make no masks; pass n ≥ 2, cells ≥ 1, 0 < share < 1.")
    q, x = question, question.x
    if cells > max(x.shape[-2:]):
        raise ExplainError(
            f"cells={cells} are more than the picture's pixels a side; pass at most {max(x.shape[-2:])}."
        )
    scores = picture_scores(q, x[None], dtype)[:, 0]
    generator = torch.Generator().manual_seed(seed)
    seen = scores.new_zeros(*scores.shape, *x.shape[-2:])
    mean, opened = torch.zeros_like(scores), scores.new_zeros(x.shape[-2:])
    for part in chunks(n, q, rows, "RISE"):
        drawn = [random_mask(x.shape[-2], x.shape[-1], cells, share, generator) for _ in part]
        masks = torch.stack(drawn).to(x.device, x.dtype)
        each = picture_scores(q, x * masks[:, None, None], dtype)
        masks = masks.to(each.dtype)
        seen += torch.einsum("tmn,mhw->tnhw", each, masks)
        opened += masks.sum(0)
        mean += each.sum(1) / n
    average = mean[..., None, None]
    # Where no mask let a pixel be seen, nothing is known of it.
    return Maps(torch.where(opened > 0, seen / torch.where(opened > 0, opened, 1.0) - average, 0.0), scores)


def random_mask(height: int, width: int, cells: int, share: float, generator: torch.Generator) -> Tensor:
    """One mask of RISE, (H,W) in 0..1: a random grid, enlarged bilinearly by ⌈side/cells⌉ a cell, cropped at random."""
    cell = (-(-height // cells), -(-width // cells))
    grid = (torch.rand(1, 1, cells + 1, cells + 1, generator=generator) < share).float()
    size = ((cells + 1) * cell[0], (cells + 1) * cell[1])
    large = F.interpolate(grid, size, mode="bilinear", align_corners=False)[0, 0]
    top, left = (int(torch.randint(side, (), generator=generator)) for side in cell)
    return large[top : top + height, left : left + width]


@register(
    "ablationcam",
    "Desai & Ramaswamy, Ablation-CAM, WACV 2020, eqs. 3–5",
    family="perturbation",
    cost="1 forward, K times the layers behind the layer (K channels)",
)
def ablationcam(question: Question, *, units: Sequence[int] | None = None, mask: Any = None, rows: int = ROWS) -> Maps:
    """ReLU(Σ_k w_k A^k), w_k = (S − S_k) / |S|, S_k the score without channel k.

    The paper divides by S; its magnitude keeps the sign right for log-probabilities, which are negative.

    Args:
        question: what is asked.
        units, mask: channels and cells of the layer that count; with a mask, a channel is removed there only.
        rows: pictures sent through the layers behind the layer at a time.
    """
    q = question
    activations, scores = activations_of(q)
    kept = chosen(activations, units, mask)
    asked = list(range(activations.shape[1])) if units is None else sorted(set(units))
    each = []
    for part in chunks(len(asked), q, rows, "Ablation-CAM"):
        ablated = [asked[i] for i in part]

        def without(a: Tensor, ablated: list[int] = ablated) -> Tensor:
            versions = a.expand(len(ablated), *a.shape).clone()
            gone = kept.expand(len(a), *a.shape[1:])
            for m, unit in enumerate(ablated):
                versions[m, :, unit] *= 1 - gone[:, unit]
            return versions

        each.append(activation_scores(q, without, len(part)))
    falls = (scores[:, None] - torch.cat(each, dim=1)).float().transpose(1, 2)
    size = scores.float().abs()[..., None]
    weights = falls.new_zeros(*scores.shape, activations.shape[1])
    weights[..., asked] = falls / torch.where(size == 0, 1.0, size)
    activations = activations * kept
    return Maps(weighted_sum(weights, activations).relu(), scores, weights, activations)


def _starts(side: int, patch: int, stride: int) -> range:
    """Where squares begin along one side, so that the last one reaches its end."""
    return range(0, max(side - patch, 0) + stride, stride)
