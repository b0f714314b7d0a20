"""The three losses of SEC: seed, expand, constrain (Kolesnikov & Lampert, arXiv 1603.06098, sections 3.1-3.3).

Class 0 is background. Cells are counted over the whole picture; n of them in all.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

PRESENT: Final = 0.996
ABSENT: Final = 0.0
SURROUNDINGS: Final = 0.999
"""Decays of the rank pooling: of classes that are in the picture, that are not (their maximum), and of background."""
CELLS: Final = 41 * 41
"""The number of cells that the decays were chosen for."""
FLOOR: Final = 1e-4
"""The least probability of a class, so that no logarithm is without bounds."""


def probabilities(scores: Tensor) -> Tensor:
    """Scores (N, C, h, w) → a softmax over the classes, none below about `FLOOR`."""
    raised = scores.float().softmax(1) + FLOOR
    return raised / raised.sum(1, keepdim=True)


def seeding(p: Tensor, seeds: Tensor) -> Tensor:
    """Cross-entropy at the seeds: their mean in each picture, then over the pictures (section 3.1).

    Args:
        p: probabilities (N, C, h, w).
        seeds: int64 (N, h, w): a class, or below 0 where there is no seed.

    Returns:
        A scalar; a picture without a seed adds nothing.
    """
    seeded = seeds >= 0
    log_p = p.log().gather(1, seeds.clamp(min=0)[:, None])[:, 0]
    return -((log_p * seeded).sum((1, 2)) / seeded.sum((1, 2)).clamp(min=1)).mean()


def expansion(p: Tensor, present: Tensor) -> Tensor:
    """How probable it is that the picture shows what it shows and nothing else, by pooling over its places (3.2).

    The terms of the classes that are present, of those that are not and of background are averaged each, then added.

    Args:
        p: probabilities (N, C, h, w).
        present: bool (N, C), which classes are in the picture; that of background is not read.

    Returns:
        A scalar.
    """
    things, here = p[:, 1:], present[:, 1:]
    shown = -rank_pooled(things, PRESENT).log()
    kept_out = -(1 - rank_pooled(things, ABSENT)).clamp(min=FLOOR).log()
    around = -rank_pooled(p[:, :1], SURROUNDINGS).log()[:, 0]
    return (_mean_where(shown, here) + _mean_where(kept_out, ~here) + around).mean()


def rank_pooled(p: Tensor, decay: float) -> Tensor:
    """Global weighted rank pooling: Σ_j d^(j−1) p_(j) / Σ_j d^(j−1), with p_(1) the greatest of a class's values.

    A decay of 0 is the maximum, of 1 the mean. SEC's are for 41×41 cells; for another number they are raised so that
    the same share of a picture counts.

    Args:
        p: (N, C, h, w).
        decay: d for 41×41 cells.

    Returns:
        (N, C).
    """
    ranked = p.flatten(2).sort(-1, descending=True).values
    ranks = torch.arange(ranked.shape[-1], device=p.device, dtype=p.dtype)
    weights = torch.as_tensor(decay, device=p.device, dtype=p.dtype) ** (ranks * CELLS / len(ranks))
    return (ranked * weights).sum(-1) / weights.sum()


def boundary(p: Tensor, smooth: Tensor) -> Tensor:
    """KL(Q‖p), its mean over the cells: what a conditional random field makes of p and of the picture's edges (3.3).

    Args:
        p: probabilities (N, C, h, w).
        smooth: Q, of the same shape (see `mean_field`).

    Returns:
        A scalar.
    """
    q = smooth.clamp(min=torch.finfo(smooth.dtype).tiny)
    return (q * (q.log() - p.log())).sum(1).mean()


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """(N, C) → (N), the mean over those that count; 0 where none does."""
    return (values * where).sum(1) / where.sum(1).clamp(min=1)
