"""Noise that makes a network see what is not there: the iterated targeted sign gradient (arXiv 1607.02533, 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.lib.boxes import Net

SURE: Final = 0.9999
STEPS: Final = 60


def probabilities(net: Net, x: Tensor) -> Tensor:
    """(N, classes): each by itself where several can be there (vignettes), else all together 1."""
    with torch.no_grad():
        logits = net.model(x)
    return logits.sigmoid() if net.classes else logits.softmax(1)


def fool(net: Net, x: Tensor, wrong: int, right: Sequence[int]) -> tuple[Tensor, int, int]:
    """An input that the network takes for another class.

    Args:
        net: the network.
        x: (3, H, W), an input.
        wrong: the class it is to see.
        right: the classes it is no longer to see, where several can be there.

    Returns:
        The input, the number of steps, and the largest change of a value in 255ths. After `STEPS` steps it is given as
        it is then, fooled or not.
    """
    mean_, std = (torch.tensor(values).view(-1, 1, 1) for values in (net.preprocess.mean, net.preprocess.std))
    start = ((x * std + mean_) * 255).round()
    pixels = start.clone()
    for step in range(STEPS + 1):
        made = ((pixels / 255 - mean_) / std).requires_grad_()
        logits = net.model(made[None])[0]
        if net.classes:
            p = logits.detach().sigmoid()
            sure = bool(p[wrong] > SURE and p[list(right)].max() < 1 - SURE)
            aim = F.logsigmoid(logits[wrong]) + F.logsigmoid(-logits[list(right)]).sum()
        else:
            sure = bool(logits.detach().softmax(0)[wrong] > SURE)
            aim = logits.log_softmax(0)[wrong]
        if sure or step == STEPS:
            break
        (gradient,) = torch.autograd.grad(aim, made)
        pixels = (pixels + gradient.sign()).clamp(0, 255)
    return made.detach(), step, int((pixels - start).abs().max())
