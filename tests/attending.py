"""A small transformer whose attention a test can read, and weights with which attention matters."""

import torch
from torch import nn
from torch.nn import functional as F


def woken(net):
    """Random weights that let attention matter; heads start at zero in some libraries."""
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.normal_(0, 0.3)
    return net.eval()


class Head(nn.Module):
    """A transformer whose attention is a tensor that a test can read: softmax spelled out."""

    def __init__(self, fused=False, depth=3, width=12, heads=2):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.ModuleList(Block(width, heads, fused) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))


class Block(nn.Module):
    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused, self.norm = heads, fused, nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, attention=None):
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=2)
        )
        if self.fused:
            found = F.scaled_dot_product_attention(q, k, v)
        else:
            if attention is None:
                attention = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
            found = attention @ v
        return x + self.out(found.transpose(1, 2).flatten(2))

    def pay(self, x):
        q, k, _ = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, 2))
        return (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
