"""Towers of open_clip: what encodes a picture, whose coordinates are no classes."""

from functools import partial

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import nn
from zoo.network import MAP, REFUSED, Network

TEXT = CLIPTextCfg(context_length=8, vocab_size=60, width=24, heads=2, layers=1)


class Encodes(nn.Module):
    """The picture's side alone, as zero-shot classifiers have it: a text a class."""

    def __init__(self, **vision):
        super().__init__()
        self.clip = clip(**vision)
        self.texts = nn.Parameter(torch.zeros(5, 16))

    def forward(self, x):
        return self.clip.encode_image(x, normalize=True) @ self.texts.T


def clip(**vision):
    return CLIP(
        16,
        CLIPVisionCfg(**{"image_size": (64, 96), "patch_size": 8, "width": 24, "head_width": 12, "layers": 2} | vision),
        TEXT,
    )


LIKE = (
    lambda o: torch.cosine_similarity(o[0], torch.linspace(-1, 1, 16)[None]),
    lambda o: torch.cosine_similarity(o[0], torch.linspace(-1, 1, 16).cos()[None]),
)

OPEN_CLIP = [
    Network("open_clip ViT, classes by texts", Encodes, layers={"clip.visual.transformer.resblocks.0": MAP}),
    Network(
        "open_clip ViT, mean of patches",
        partial(Encodes, pool_type="avg"),
        layers={"clip.visual.transformer.resblocks.1": MAP},
    ),
    Network(
        "open_clip ViT, attention pooling",
        partial(Encodes, attentional_pool=True, attn_pooler_queries=6, attn_pooler_heads=2),
        layers={"clip.visual.transformer.resblocks.0": MAP},
    ),
    Network(
        "open_clip ResNet",
        partial(Encodes, layers=(1, 1, 1, 1), width=8, head_width=16, image_size=128),
        (3, 128, 128),
    ),
    Network("open_clip whole, a class asked", clip, outcome=REFUSED),
    Network("open_clip whole, an embedding asked", clip, targets=LIKE),
]
