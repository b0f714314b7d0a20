"""Small JPEGs and a small network for the checks of jobs: what they measure is what a job costs beside its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import mmcam
from mmcam.datasets import vignettes

FOLDER = 1000
"""Pictures of a folder: file systems and people dislike many more."""


class Small(nn.Module):
    """Three convolutions and a linear layer on 64×64 pixels, with random weights."""

    preprocess = mmcam.Preprocess(size=(64, 64), mode="squash", mean=(0.5,) * 3, std=(0.25,) * 3)
    classes = tuple(f"class {n}" for n in range(10))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 8), (8, 16), (16, 16)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,64,64) → logits (N,10)."""
        return self.head(self.features(x).mean((2, 3)))


def network() -> nn.Module:
    """The small network, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small().eval()


def write_small(folder: Path, count: int, side: int = 64) -> None:
    """Write so many JPEGs of side×side pixels, pieces of twenty vignettes with noise; those that are there stay."""
    random = np.random.default_rng(0)
    scenes = [np.asarray(vignettes.draw(vignettes.seed("val", n)).image, np.int16) for n in range(20)]
    for n in range(count):
        scene = scenes[n % len(scenes)]
        y, x = random.integers(0, np.array(scene.shape[:2]) - side)
        noise = random.integers(-12, 13, (side, side, 1))
        path = folder / f"{n // FOLDER:04d}" / f"{n:07d}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(scene[y : y + side, x : x + side] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)
