"""Training pictures, varied: mirrored, slightly turned, slightly nearer or farther, slightly brighter or darker."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

DEGREES: Final = 8.0
NEARER: Final = 0.1
BRIGHTER: Final = 0.15


def varied(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures (N, C, H, W) in bytes → varied ones, in floats of 0 to 255.

    What a turn brings in from outside is mirrored at the edge. Not turned upside down: a roof is above.

    Args:
        pixels: on any device.
        rng: all that is random is drawn from it.
    """
    n, _, h, w = pixels.shape
    turn = np.radians(rng.uniform(-DEGREES, DEGREES, n))
    zoom = np.exp(rng.uniform(-NEARER, NEARER, n))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    light = rng.uniform(1 - BRIGHTER, 1 + BRIGHTER, n)
    matrices = np.zeros((n, 2, 3))
    # In shares of the sides, so that a turn of a picture that is not square stays a turn.
    matrices[:, 0, 0], matrices[:, 0, 1] = mirror * np.cos(turn) * zoom, -np.sin(turn) * zoom * h / w
    matrices[:, 1, 0], matrices[:, 1, 1] = mirror * np.sin(turn) * zoom * w / h, np.cos(turn) * zoom
    theta = torch.from_numpy(matrices).float().to(pixels.device)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels.float(), grid, padding_mode="reflection", align_corners=False)
    gain = torch.from_numpy(light).float().to(pixels.device).view(-1, 1, 1, 1)
    return (moved * gain).clamp(0, 255)


def stream(*numbers: int) -> np.random.Generator:
    """What is random in one step: it follows from the numbers of the step, not from the steps before it."""
    return np.random.default_rng([abs(number) for number in numbers])
