"""Maps of a text's tokens, cleared of what the words before have in common with them, and smoothed.

From Li et al., Token Activation Map to Visually Explain Multimodal LLMs, ICCV 2025, arXiv 2506.23270, and what its
authors' code does (github.com/xmed-lab/TAM).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def less_context(own: Tensor, earlier: Tensor, relevance: Tensor) -> Tensor:
    """ReLU(A − s·I): a map less the least-squares share of the maps of the words before it (ICCV 2025, 3.2).

    I = Σ_j r_j A_j / Σ_j r_j and s = argmin ‖A − s·I‖², which is ⟨A,I⟩/⟨I,I⟩. Where no r_j is positive, or I is empty,
    nothing is taken off.

    Args:
        own: A (h,w), not negative.
        earlier: A_j (M,h,w), not negative; M may be 0.
        relevance: r_j (M,), how much each of them is about this word; not negative.
    """
    total = relevance.sum()
    shared = torch.einsum("m,mhw->hw", relevance / torch.where(total > 0, total, 1.0), earlier)
    norm = (shared**2).sum()
    share = (own * shared).sum() / torch.where(norm > 0, norm, 1.0)
    return (own - share * shared).relu()


def rank_gaussian(maps: Tensor) -> Tensor:
    """The rank-Gaussian filter (ICCV 2025, 3.3): windows of 3×3, sorted, weighed by a Gaussian around the median.

    The weight of rank k = −4…4 is exp(−k²/2σ²), made to sum to 1; σ is the window's standard deviation over its mean.
    So a window of equal values keeps them, and one with an outlier is averaged. At the edge the picture is mirrored
    (without its edge). 0 where the mean is not positive; the median where the deviation is 0 (ours: the authors' code
    divides by it).

    Args:
        maps: (…,h,w), not negative.
    """
    h, w = maps.shape[-2:]
    flat = maps.reshape(-1, 1, h, w)
    # A side of one cell has nothing to mirror, and repeats it.
    padded = F.pad(flat, (0, 0, 1, 1), mode="reflect" if h > 1 else "replicate")
    padded = F.pad(padded, (1, 1, 0, 0), mode="reflect" if w > 1 else "replicate")
    windows = F.unfold(padded, 3).sort(1).values  # (…, 9, h·w)
    mean, deviation = windows.mean(1, keepdim=True), windows.std(1, correction=0, keepdim=True)
    sigma = deviation / torch.where(mean > 0, mean, 1.0)
    ranks = torch.arange(-4, 5, device=maps.device, dtype=maps.dtype)[:, None]
    # The smallest σ whose square is no zero leaves the median alone, as σ = 0 has to.
    weights = (-(ranks**2) / (2 * sigma**2).clamp(min=torch.finfo(maps.dtype).tiny)).exp()
    filtered = (weights / weights.sum(1, keepdim=True) * windows).sum(1, keepdim=True)
    return torch.where(mean > 0, filtered, 0.0).reshape(maps.shape)
