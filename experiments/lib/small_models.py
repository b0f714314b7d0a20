"""A policy and a similarity with few weights, random but always the same, for tasks that no bundled model has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import mmcam


class Catcher(nn.Module):
    """An actor and a critic with encoders of their own: two scores, two layers."""

    actions = ("left", "stay", "right")

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Conv2d(4, 8, 5, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.critic = nn.Sequential(nn.Conv2d(4, 8, 5, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.act, self.value = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and value of observations (N,4,H,W)."""
        return self.act(self.actor(x).mean((2, 3))), self.value(self.critic(x).mean((2, 3)))


class Matcher(nn.Module):
    """Compares pictures with texts by their letters."""

    preprocess = mmcam.Preprocess(size=(64, 64), mode="squash")

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.letters = nn.Embedding(128, 8)

    def similarity(self, x: Tensor, texts: list[str]) -> Tensor:
        """The product of mean features and mean letters."""
        seen = self.features(x).mean((2, 3))
        return (seen.repeat(len(texts) // len(seen), 1) * self.read(texts)).sum(1)

    def read(self, texts: list[str]) -> Tensor:
        """The mean of each text's letters (N,8)."""
        return torch.stack([self.letters(torch.tensor([ord(c) % 128 for c in text])).mean(0) for text in texts])


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A network with the random weights of one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()
