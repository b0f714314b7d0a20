"""A network that segments vignettes: the bundled classifier's convolutions, and a head trained in a minute.

Its truth is known pixel by pixel, so maps of its regions can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import models
from mmcam import Preprocess
from mmcam.datasets import vignettes
from mmcam.datasets.vignettes import KINDS, Vignette

CLASSES = ("nothing", *KINDS)
DEEP, LEARNING_RATE, BATCH = 24, 2e-3, 20
"""Modules of the classifier that are kept, its 3×3 convolutions: 14×14 cells of 128 channels."""


class SmallSegmenter(nn.Module):
    """Pictures (N,3,224,224) → scores of `CLASSES` at 56×56 places."""

    def __init__(self, encoder: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.encoder, self.preprocess, self.classes = encoder, preprocess, CLASSES
        self.head = nn.Sequential(
            nn.Conv2d(128, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 96, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=4, mode="bilinear"), nn.Conv2d(96, len(CLASSES), 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N,15,56,56)."""
        scores: Tensor = self.head(self.encoder(x))
        return scores


def truth_of(scene: Vignette) -> NDArray[np.int64]:
    """The class of every pixel, (224,224): that of the thing in front, else "nothing"."""
    truth = np.zeros(scene.instances.shape[1:], np.int64)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        truth[mask] = CLASSES.index(thing.kind)
    return truth


def trained(scenes: int = 600, epochs: int = 12, seed: int = 0) -> SmallSegmenter:
    """The segmenter after so many epochs of so many scenes; its encoder stays as it is, and runs once a scene."""
    classifier = models.load("vignette-classifier")
    encoder = nn.Sequential(*list(classifier.encoder.features)[:DEEP])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SmallSegmenter(encoder, classifier.preprocess).eval()
        drawn = [vignettes.draw(vignettes.seed("train", i)) for i in range(scenes)]
        features, truth = _features(model, drawn), _truth(drawn)
        optimiser = torch.optim.AdamW(model.head.parameters(), LEARNING_RATE)
        steps = epochs * -(-scenes // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
        for _ in range(epochs):
            for some in torch.randperm(scenes).split(BATCH):
                loss = F.cross_entropy(model.head(features[some]), truth[some])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.requires_grad_(False)


@torch.no_grad()
def _features(model: SmallSegmenter, scenes: Sequence[Vignette]) -> Tensor:
    x = torch.stack([model.preprocess(scene.image)[0] for scene in scenes])
    return torch.cat([model.encoder(part) for part in x.split(BATCH)])


def _truth(scenes: Sequence[Vignette]) -> Tensor:
    """The class at the middle of each of 56×56 places."""
    return torch.from_numpy(np.stack([truth_of(scene)[2::4, 2::4] for scene in scenes]))


@torch.no_grad()
def overlaps(model: SmallSegmenter, scenes: Sequence[Vignette]) -> dict[str, float]:
    """The intersection over union of each class over all scenes' places."""
    found, truth = model.head(_features(model, scenes)).argmax(1), _truth(scenes)
    scores = {}
    for index, name in enumerate(CLASSES):
        own, there = found == index, truth == index
        if (own | there).any():
            scores[name] = float((own & there).sum() / (own | there).sum())
    return scores
