"""Non-negative matrix factorisation: X ≈ W·H, all of them at least 0."""

from __future__ import annotations

import torch
from torch import Tensor

_LOOK = 10  # updates between two looks at the error


def nmf(x: Tensor, k: int, *, tolerance: float = 1e-4, most: int = 1000) -> tuple[Tensor, Tensor]:
    """W (R,k) and H (k,K) of X (R,K) by multiplicative updates, which never raise ‖X − WH‖.

    W ← W ∘ (XHᵀ)/(WHHᵀ), then H ← H ∘ (WᵀX)/(WᵀWH) (Lee & Seung, Algorithms for Non-negative Matrix Factorization,
    NeurIPS 2000, theorem 1). They begin at NNDSVDa (Boutsidis & Gallopoulos, Pattern Recognition 41, 2008: of each
    singular pair the larger of its positive and its negative part, zeros set to the mean), so the same X has the same
    factors. They end when ten updates lower the error by less than a share of the first.

    Args:
        x: not negative.
        k: columns of W.
        tolerance: that share.
        most: updates at most.
    """
    w, h = _begin(x, k)
    tiny = torch.finfo(x.dtype).eps
    first = before = torch.linalg.norm(x - w @ h)
    for update in range(1, most + 1):
        w = w * (x @ h.T / (w @ (h @ h.T)).clamp(min=tiny))
        h = h * (w.T @ x / (w.T @ w @ h).clamp(min=tiny))
        if update % _LOOK == 0:
            error = torch.linalg.norm(x - w @ h)
            if before - error < tolerance * first:
                break
            before = error
    return w, h


def _begin(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """NNDSVDa; of the smaller of both products the eigenvectors are enough."""
    squares, vectors = torch.linalg.eigh((x.T @ x).double())
    right = vectors.flip(1)[:, :k].to(x.dtype)
    values = squares.flip(0)[:k].clamp(min=0).sqrt().to(x.dtype)
    left = x @ right / values.clamp(min=torch.finfo(x.dtype).tiny)
    columns, rows = [], []
    for j in range(k):
        parts = [(left[:, j] * sign).relu() for sign in (1, -1)], [(right[:, j] * sign).relu() for sign in (1, -1)]
        sizes = [float(u.norm() * v.norm()) for u, v in zip(*parts, strict=True)]
        u, v = (each[int(sizes[1] > sizes[0])] for each in parts)
        size = max(sizes) or 1.0
        scale = (values[j] * size).sqrt()
        columns.append(scale * u / u.norm().clamp(min=1e-30))
        rows.append(scale * v / v.norm().clamp(min=1e-30))
    mean = x.mean()
    w, h = torch.stack(columns, 1), torch.stack(rows)
    least = torch.finfo(x.dtype).eps
    return torch.where(w < least, mean, w), torch.where(h < least, mean, h)
