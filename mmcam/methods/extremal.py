"""Extremal perturbations: of all masks of a given area, the one that keeps the score highest."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmcam.engine.pixels import input_gradients
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.variants import picture_scores
from mmcam.progress import with_progress

BLUR = 20.0
"""Deviation of the blur where a mask is 0, in pixels of an input of 224; the paper's "fade to blur"."""
LEVELS = 8
"""Blurred pictures, between which a mask chooses."""
TEMPERATURE = 1 / 20
"""Of the smooth maximum, eq. 5."""
WEIGHT, GROWTH = 300.0, 1.0035
"""Of the constraint on the area at the first step, and by how much it grows with each."""
RATE, MOMENTUM = 0.01, 0.9


@register(
    "extremal",
    "Fong, Patrick & Vedaldi, Extremal Perturbations, ICCV 2019, eqs. 1–6",
    family="perturbation",
    cost="steps + 1 forwards, steps backwards to the pixels a target",
)
def extremal(question: Question, *, area: float = 0.1, steps: int = 800, step: int = 7) -> Maps:
    """The mask (T,N,H,W), 0…1, of a share `area` of the picture, outside of which it is blurred and the score is high.

    The mask is a smooth maximum of bumps on a grid, so it has no single pixels; that its area is `area` is a penalty on
    its sorted values, which are pulled to 1 and 0.

    Args:
        question: what is asked.
        area: share of the picture that may stay.
        steps: of gradient ascent; the paper takes 800.
        step: pixels between the grid's points.

    Raises:
        ExplainError: an area, a number of steps or a grid that is none.
    """
    if not 0 < area < 1 or steps < 1 or step < 1:
        raise ExplainError(f"area={area}, steps={steps}, step={step} make no mask; pass 0 < area < 1 and both ≥ 1.")
    scores = picture_scores(question, question.x[None])[:, 0]  # first: the predicted class is that of the whole picture
    pyramid = _pyramid(question.x.detach())
    found = []
    for t, target in enumerate(question.targets):
        one = replace(question, targets=[target])
        with torch.enable_grad():
            found.append(_mask_of(one, pyramid, area, steps, step, f"Target {t + 1} of {len(question.targets)}"))
    return Maps(torch.stack(found), scores)


def _mask_of(q: Question, pyramid: Tensor, area: float, steps: int, step: int, what: str) -> Tensor:
    """One target's masks (N,H,W)."""
    n, (height, width) = len(q.x), q.x.shape[-2:]
    grid = torch.ones(n, 1, -(-height // step), -(-width // step), device=q.x.device).requires_grad_()
    ascent = torch.optim.SGD([grid], lr=RATE, momentum=MOMENTUM, dampening=MOMENTUM)
    cells = height * width
    wanted = torch.cat([torch.zeros(cells - round(area * cells)), torch.ones(round(area * cells))]).to(q.x.device)
    weight = WEIGHT
    for _ in with_progress(range(steps), what):
        mask = _smooth(grid, (height, width), step)
        seen = _faded(pyramid, mask)
        gradients, _, _ = input_gradients(replace(q, x=seen.detach()))
        # Of the sum over pictures, whose masks do not touch one another.
        gain = (seen * gradients[0]).sum()
        miss = (mask.flatten(1).sort(1).values - wanted).square().mean(1).sum()
        ascent.zero_grad()
        (weight * miss - gain).backward()
        ascent.step()
        with torch.no_grad():
            grid.clamp_(0, 1)
        weight *= GROWTH
    return _smooth(grid, (height, width), step)[:, 0].detach()


def _smooth(grid: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """A mask (N,1,H,W) of the values on a grid, eq. 4: at each pixel the smooth maximum of its points' bumps.

    A bump is flat to one step from its point and falls as exp(−(d − 1)²/4) beyond, d in steps, of which four are looked
    at.
    """
    reach = 4
    rows = [_near(length, count, step, reach, grid.device) for length, count in zip(size, grid.shape[-2:], strict=True)]
    (row_at, row_d), (column_at, column_d) = rows
    d = (row_d[:, None, :, None].square() + column_d[None, :, None, :].square()).sqrt()  # (H,W,2r+1,2r+1)
    bumps = torch.exp(-(d - 1).clamp(min=0).square() / 4)
    values = grid[:, 0][:, row_at[:, None, :, None], column_at[None, :, None, :]] * bumps
    flat = values.flatten(-2)
    return ((flat / TEMPERATURE).softmax(-1) * flat).sum(-1)[:, None]


def _near(length: int, count: int, step: int, reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of each pixel along a side the points near it, (length, 2·reach + 1), and how far they are, in steps."""
    at = (torch.arange(length, device=device) + 0.5) / step - 0.5
    points = at.round()[:, None] + torch.arange(-reach, reach + 1, device=device)
    away = (points - at[:, None]).abs()
    # Beyond the side there is no point: its bump is nowhere.
    away = torch.where((points >= 0) & (points < count), away, torch.full_like(away, 99.0))
    return points.clamp(0, count - 1).long(), away


def _pyramid(x: Tensor) -> Tensor:
    """The pictures as they are and ever more blurred, (LEVELS,N,C,H,W), the last as they are."""
    from torchvision.transforms.functional import gaussian_blur

    largest = BLUR * max(x.shape[-2:]) / 224
    levels = []
    for level in range(LEVELS - 1):
        deviation = largest * (1 - level / (LEVELS - 1))
        radius = min(int(3 * deviation) + 1, min(x.shape[-2:]) - 1)
        levels.append(gaussian_blur(x, [2 * radius + 1, 2 * radius + 1], [deviation, deviation]))
    return torch.stack([*levels, x])


def _faded(pyramid: Tensor, mask: Tensor) -> Tensor:
    """The pictures, each pixel at the level of blur that its mask (N,1,H,W) says, between two levels linearly."""
    place = mask.clamp(0, 1) * (len(pyramid) - 1)
    low = place.detach().floor().clamp(max=len(pyramid) - 2)
    share, index = (place - low).to(pyramid.dtype), low.long()[None].expand(1, *pyramid.shape[1:])
    first, second = pyramid.gather(0, index)[0], pyramid.gather(0, index + 1)[0]
    return first + share * (second - first)
