"""A small vision transformer that keeps its patches in any order."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A transformer's block, its attention sharpened by a factor."""

    def __init__(self, width: int, sharp: float = 1.0, first: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=first)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        with torch.no_grad():
            self.attention.in_proj_weight[: 2 * width].mul_(sharp)

    def forward(self, t: Tensor) -> Tensor:
        """(N,L,K) → the same."""
        u = self.norm1(t)
        t = t + self.attention(u, u, u, need_weights=False)[0]
        return t + self.mlp(self.norm2(t))


class Own(nn.Module):
    """Patches in some order, with other tokens around and between, in three blocks, then queries that read them."""

    def __init__(
        self,
        sides: tuple[int, int] = (8, 8),
        front: int = 1,
        behind: int = 0,
        between: int | None = None,
        order: Tensor | None = None,
        sharp: float = 1.0,
        first: bool = True,
    ) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 48, 8, 8)
        n = sides[0] * sides[1]
        self.place = nn.Parameter(torch.randn(1, n, 48) / 2)
        self.others = nn.Parameter(torch.randn(1, front + behind + 1, 48))
        self.front, self.behind, self.between, self.first = front, behind, between, first
        self.order = torch.arange(n) if order is None else order
        self.blocks = nn.ModuleList(Block(48, sharp, first) for _ in range(3))
        self.queries = nn.Parameter(torch.randn(1, 36, 48))
        self.reader, self.asked = nn.MultiheadAttention(48, 4, batch_first=True), Block(48)

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,H,W) → what the queries read."""
        t = (self.cut(x).flatten(2).transpose(1, 2) + self.place)[:, self.order]
        others = self.others.expand(len(x), -1, -1)
        middle = [t] if self.between is None else [t[:, : self.between], others[:, -1:], t[:, self.between :]]
        t = torch.cat([others[:, : self.front], *middle, others[:, self.front : self.front + self.behind]], 1)
        t = t if self.first else t.transpose(0, 1)
        for block in self.blocks:
            t = block(t)
        t = t if self.first else t.transpose(0, 1)
        return self.asked(self.reader(self.queries.expand(len(x), -1, -1), t, t)[0])
