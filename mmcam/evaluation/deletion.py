"""How does the score change as pixels go or come in the order of the map? Insertion, deletion and ROAD.

Deletion and insertion: Petsiuk et al., RISE, arXiv 1806.07421, section 4.1. ROAD: Rong et al., arXiv 2202.00449,
section 4: pixels are replaced by what their neighbours let expect, so that the hole itself says little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Score = Callable[[Tensor], Tensor]
"""From pictures (M, C, H, W) to their scores (M,)."""

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""How much ROAD removes, in its paper's figures."""


@dataclass(frozen=True)
class Curve:
    """Scores against the share of pixels that are deleted or inserted."""

    shares: tuple[float, ...]
    """Rising, 0 to 1."""

    scores: tuple[float, ...]
    """One a share."""

    @property
    def area(self) -> float:
        """The area under the curve (trapezoids) over its width, so in units of the score."""
        heights = (np.array(self.scores[1:]) + np.array(self.scores[:-1])) / 2
        return float(heights @ np.diff(self.shares)) / (self.shares[-1] - self.shares[0])

    @property
    def mean(self) -> float:
        """The mean score of all points but the first, where nothing has changed yet."""
        return float(np.mean(self.scores[1:]))


def ranked(heatmap: Tensor | NDArray[np.floating], seed: int = 0) -> Tensor:
    """The pixels of a map from the highest to the lowest: (H·W,) indices into the flattened map, on the CPU.

    Equal pixels, as a ReLU leaves many, come in a random order: sorted as they stand, an empty map would take a picture
    away from the top down, and be judged by that.

    Raises:
        ValueError: a map of another form, or with undefined values, which have no place.
    """
    # NumPy's own copy: torch takes no arrays turned round or of another byte order.
    values = heatmap.detach().cpu() if isinstance(heatmap, Tensor) else torch.from_numpy(np.array(heatmap, np.float64))
    if values.ndim != 2 or not values.numel():
        raise ValueError(f"A map has shape (H,W), not {tuple(values.shape)}; of a pixel map, take Explanation.cam.")
    if values.isnan().any():
        raise ValueError("The map has undefined values, which have no rank; leave this picture out.")
    shuffled = torch.randperm(values.numel(), generator=torch.Generator().manual_seed(seed))
    return shuffled[values.flatten()[shuffled].argsort(descending=True, stable=True)]


def deletion(
    score: Score,
    picture: Tensor,
    heatmap: Tensor | NDArray[np.floating],
    *,
    steps: int = 50,
    baseline: Tensor | float = 0.0,
    rows: int = 32,
    seed: int = 0,
) -> Curve:
    """The score as the picture's pixels are replaced, the map's highest first: a good map's curve falls at once.

    Args:
        score: pictures (M, C, H, W) → (M,).
        picture: (C, H, W).
        heatmap: (H, W).
        steps: after each of which 1/steps more of the pixels are gone; the curve has one point more.
        baseline: (C, H, W) or one value, what stands in a pixel's place; 0 is the mean colour of the training data.
        rows: pictures sent through the model at a time.
        seed: of the order among equal pixels.

    Raises:
        ValueError: sizes that do not fit, a map that has no order, or fewer than one step.
    """
    return _replaced(score, picture, _like(baseline, picture), heatmap, steps, rows, seed)


def insertion(
    score: Score,
    picture: Tensor,
    heatmap: Tensor | NDArray[np.floating],
    *,
    steps: int = 50,
    baseline: Tensor | float | None = None,
    rows: int = 32,
    seed: int = 0,
) -> Curve:
    """The score as the picture's pixels appear, the map's highest first: a good map's curve rises at once.

    Args:
        score, picture, heatmap, steps, rows, seed: as in `deletion`.
        baseline: what is there before, (C, H, W) or one value; default the picture `blurred`, as in the paper, since
            sharp-edged pieces on a plain ground would be shapes of their own.

    Raises:
        ValueError: as in `deletion`.
    """
    start = blurred(picture) if baseline is None else _like(baseline, picture)
    return _replaced(score, start, picture, heatmap, steps, rows, seed)


def blurred(picture: Tensor, size: int = 11, sigma: float = 5.0) -> Tensor:
    """A picture (C, H, W) under a Gaussian blur of size×size pixels; the defaults are those of RISE's experiments.

    Beyond the border the picture goes on mirrored.

    Raises:
        ValueError: a size that is even, or too large for the picture.
    """
    if size < 1 or size % 2 == 0 or size // 2 >= min(picture.shape[-2:]) or sigma <= 0:
        raise ValueError(
            f"No blur of {size} pixels and sigma={sigma} fits a picture of {tuple(picture.shape)}; pass an odd size of "
            "less than twice its shorter side."
        )
    far = torch.arange(size, device=picture.device) - size // 2
    weights = torch.exp(-(far.float() ** 2) / (2 * sigma**2)).to(picture.dtype)
    weights = weights / weights.sum()
    rows = F.pad(picture[:, None], [size // 2] * 4, mode="reflect")
    rows = F.conv2d(rows, weights.view(1, 1, size, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, size))[:, 0]


def road(
    score: Score,
    picture: Tensor,
    heatmap: Tensor | NDArray[np.floating],
    *,
    shares: Sequence[float] = SHARES,
    noise: float = 0.01,
    rows: int = 32,
    seed: int = 0,
) -> Curve:
    """ROAD: the score as the map's highest pixels are imputed from the rest; lower scores mean a better map.

    Most relevant first. For the least relevant first, where higher is better, pass the map's negative.

    Args:
        score, picture, heatmap, rows: as in `deletion`.
        shares: of the pixels that are imputed, rising, each more than 0 and less than 1.
        noise: see `impute`.
        seed: of the noise and of the order among equal pixels.

    Returns:
        The curve with share 0, the whole picture, in front.

    Raises:
        ValueError: sizes that do not fit, a map that has no order, or shares that do not rise or leave nothing.
    """
    if not shares or any(b <= a for a, b in zip((0.0, *shares), (*shares, 1.0), strict=True)):
        raise ValueError(f"The shares {tuple(shares)} do not rise between 0 and 1, both left out.")
    order = _order(picture, heatmap, seed)
    missing = torch.zeros(len(shares), order.numel(), dtype=torch.bool)
    for row, share in zip(missing, shares, strict=True):
        row[order[: round(share * order.numel())]] = True
    masks = missing.unflatten(1, picture.shape[-2:])
    pictures = (impute(picture, mask, noise, seed + i) for i, mask in enumerate(masks))
    return Curve((0.0, *shares), _scores(score, (version for part in ([picture], pictures) for version in part), rows))


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


def _replaced(
    score: Score,
    start: Tensor,
    end: Tensor,
    heatmap: Tensor | NDArray[np.floating],
    steps: int,
    rows: int,
    seed: int,
) -> Curve:
    """The scores on the way from one picture to another, pixel by pixel in the order of the map."""
    if steps < 1:
        raise ValueError(f"A curve of steps={steps} is none; pass at least 1.")
    order = _order(end, heatmap, seed)
    counts = [round(i * order.numel() / steps) for i in range(steps + 1)]
    place = torch.empty_like(order)
    place[order] = torch.arange(order.numel())
    place = place.view(end.shape[-2:]).to(end.device)
    pictures = (torch.where(place < count, end, start) for count in counts)
    return Curve(tuple(count / order.numel() for count in counts), _scores(score, pictures, rows))


@torch.no_grad()
def _scores(score: Score, pictures: Iterable[Tensor], rows: int) -> tuple[float, ...]:
    """The scores of pictures (C, H, W), of which at most `rows` exist at a time."""
    if rows < 1:
        raise ValueError(f"rows={rows} pictures at a time are none; pass at least 1.")
    scores: list[float] = []
    waiting: list[Tensor] = []

    def send() -> None:
        made = score(torch.stack(waiting))
        if made.shape != (len(waiting),):
            raise ValueError(f"{len(waiting)} pictures got scores of shape {tuple(made.shape)}; return one a picture.")
        scores.extend(made.double().tolist())
        waiting.clear()

    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == rows:
            send()
    if waiting:
        send()
    return tuple(scores)


def _order(picture: Tensor, heatmap: Tensor | NDArray[np.floating], seed: int) -> Tensor:
    if picture.ndim != 3 or tuple(heatmap.shape) != tuple(picture.shape[-2:]):
        raise ValueError(
            f"The picture has shape {tuple(picture.shape)} and the map {tuple(heatmap.shape)}; pass (C,H,W) and (H,W)."
        )
    return ranked(heatmap, seed)


def _like(baseline: Tensor | float, picture: Tensor) -> Tensor:
    """What stands in the pixels' place, as a picture."""
    if isinstance(baseline, Tensor):
        if baseline.shape != picture.shape:
            raise ValueError(
                f"The picture has shape {tuple(picture.shape)} and the baseline {tuple(baseline.shape)}; "
                "pass one of the picture's shape, or a number."
            )
        return baseline.to(picture)
    return torch.full_like(picture, baseline)
