"""How does the score change as pixels go or come in the order of the map? Insertion, deletion and ROAD.

Deletion and insertion: Petsiuk et al., RISE, arXiv 1806.07421, section 4.1. ROAD: Rong et al., arXiv 2202.00449,
section 4: pixels are replaced by what their neighbours let expect, so that the hole itself says little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmcam.evaluation.imputation import impute

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
    shares, pictures = _replaced(picture, _like(baseline, picture), heatmap, steps, seed)
    return Curve(shares, _scores(score, pictures, rows))


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
    shares, pictures = _replaced(start, picture, heatmap, steps, seed)
    return Curve(shares, _scores(score, pictures, rows))


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
    masks = missing.view(len(shares), *picture.shape[-2:])
    pictures = (impute(picture, mask, noise, seed + i) for i, mask in enumerate(masks))
    return Curve((0.0, *shares), _scores(score, (version for part in ([picture], pictures) for version in part), rows))


def _replaced(
    start: Tensor, end: Tensor, heatmap: Tensor | NDArray[np.floating], steps: int, seed: int
) -> tuple[tuple[float, ...], Iterator[Tensor]]:
    """The way from one picture to another, pixel by pixel in the order of the map: shares, and a picture for each."""
    if steps < 1:
        raise ValueError(f"A curve of steps={steps} is none; pass at least 1.")
    order = _order(end, heatmap, seed)
    counts = [round(i * order.numel() / steps) for i in range(steps + 1)]
    place = torch.empty_like(order)
    place[order] = torch.arange(order.numel())
    place = place.view(end.shape[-2:]).to(end.device)
    pictures = (torch.where(place < count, end, start) for count in counts)
    return tuple(count / order.numel() for count in counts), pictures


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
