"""Pixels made up from their neighbours, so that a hole says little by itself (Rong et al., ROAD, arXiv 2202.00449)."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def impute(picture: Tensor, missing: Tensor, noise: float = 0.01, seed: int = 0) -> Tensor:
    """Noisy linear imputation (Rong et al., section 4.2): a missing pixel is the weighted mean of its eight neighbours.

    The four beside it weigh 1/6 each, the four across its corners 1/12; at the border the neighbours there are share
    the weight. Neighbours that are missing themselves are unknowns, too, so the whole hole is one sparse linear system,
    solved at once; the noise then takes away the smoothness that would give it away.

    Args:
        picture: (C, H, W).
        missing: (H, W), true where a pixel is to be made up; of what stands there nothing is used.
        noise: standard deviation, in units of the picture.
        seed: of the noise.

    Returns:
        (C, H, W) with the device and dtype of the picture.

    Raises:
        ValueError: another size, or no pixel to go by.
    """
    from scipy.sparse import csc_matrix

    hole = missing.cpu().numpy().astype(bool)
    if hole.shape != picture.shape[-2:]:
        raise ValueError(
            f"The picture has shape {tuple(picture.shape)} and the mask {hole.shape}; bring both to one size."
        )
    if hole.all():
        raise ValueError("All pixels are missing: there is none to go by, so leave some.")
    if not hole.any():
        return picture.clone()
    known = picture.detach().double().cpu().numpy().transpose(1, 2, 0)
    count, (ys, xs) = int(hole.sum()), np.nonzero(hole)
    number = np.full(hole.shape, -1)
    number[hole] = own = np.argsort(np.argsort(_halves(*hole.shape)[hole]))
    diagonal, right = np.zeros(count), np.zeros((count, len(picture)))
    entries: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    for dy, dx in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx):
        weight = 1 / 12 if dy and dx else 1 / 6
        y, x = ys + dy, xs + dx
        within = (y >= 0) & (y < hole.shape[0]) & (x >= 0) & (x < hole.shape[1])
        here, y, x = own[within], y[within], x[within]
        diagonal[here] += weight
        there = number[y, x]
        given, unknown = there < 0, there >= 0
        right[here[given]] += weight * known[y[given], x[given]]
        entries.append((here[unknown], there[unknown], np.full(int(unknown.sum()), -weight)))
    entries.append((own, own, diagonal[own]))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    solved = _solve(csc_matrix((values, (rows, columns)), (count, count)), right)
    filled = torch.from_numpy(solved[own].T.copy())
    filled += noise * torch.randn(filled.shape, generator=torch.Generator().manual_seed(seed), dtype=filled.dtype)
    made = picture.detach().clone()
    made[:, torch.from_numpy(hole).to(made.device)] = filled.to(made)
    return made


def _solve(matrix: Any, right: NDArray[np.floating]) -> NDArray[np.floating]:
    """The unknowns of a symmetric system whose order is already a good one, to about 1e-7 of the largest.

    Factors in single precision take half the time, and two corrections from what is left over make good for it.
    """
    from scipy.sparse.linalg import splu

    factors = splu(
        matrix.astype(np.float32), permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    solved = np.zeros_like(right)
    for _ in range(3):
        solved += factors.solve((right - matrix @ solved).astype(np.float32))
    return solved


@cache
def _halves(height: int, width: int) -> NDArray[np.int64]:
    """An order of a grid's pixels, (height, width), in which a system of neighbours fills in little when it is solved.

    Nested dissection: the line that halves the grid comes last, before it the two halves, each halved likewise (George,
    Nested Dissection of a Regular Finite Element Mesh, SIAM J. Numer. Anal. 10, 1973). It stays one in any hole.
    """
    order = np.empty((height, width), np.int64)
    blocks, last = [(slice(0, height), slice(0, width))], height * width
    while blocks:  # the last places go first
        ys, xs = blocks.pop()
        rows, columns = ys.stop - ys.start, xs.stop - xs.start
        middle = (ys.start + ys.stop) // 2, (xs.start + xs.stop) // 2
        line = (ys, xs)
        if max(rows, columns) > 6:  # smaller blocks gain nothing
            if rows >= columns:
                line = (slice(middle[0], middle[0] + 1), xs)
                blocks += [(slice(ys.start, middle[0]), xs), (slice(middle[0] + 1, ys.stop), xs)]
            else:
                line = (ys, slice(middle[1], middle[1] + 1))
                blocks += [(ys, slice(xs.start, middle[1])), (ys, slice(middle[1] + 1, xs.stop))]
        part = order[line]
        part[:] = np.arange(last - part.size, last).reshape(part.shape)
        last -= part.size
    return order
