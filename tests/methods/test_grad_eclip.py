"""Grad-ECLIP against a loop over heads and patches, on a transformer with a class token written out."""

import pytest
import timm
import torch
import torchvision
from attending import Head, woken
from tiny import pictures, seeded
from torch.nn import functional as F

from mmcam import ExplainError, attribute


def literal(net, x, target):
    """The last block of torchvision's transformer, its attention in plain matrices."""
    with torch.no_grad():
        tokens = net._process_input(x)
        tokens = torch.cat([net.class_token.expand(len(x), -1, -1), tokens], 1) + net.encoder.pos_embedding
        for block in net.encoder.layers[:-1]:
            tokens = block(tokens)
        block = net.encoder.layers[-1]
        attention, normed = block.self_attention, block.ln_1(tokens)
        q, k, v = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias)[0].chunk(3, dim=1)
        heads, size = attention.num_heads, q.shape[1] // attention.num_heads
        given = []
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            given.append((q[:, own] @ k[:, own].T / size**0.5).softmax(1) @ v[:, own])
    output = torch.cat(given, 1).requires_grad_()
    y = tokens + attention.out_proj(output)[None]
    y = y + block.mlp(block.ln_2(y))
    score = net.heads(net.encoder.ln(y)[:, 0])[0, target]
    (gradient,) = torch.autograd.grad(score, output)
    assert gradient[1:].abs().max() == 0, "the class token alone is read"
    cosine = torch.stack([F.cosine_similarity(q[0], key, dim=0) for key in k[1:]])
    loosened = (cosine - cosine.min()) / (cosine.max() - cosine.min())
    each = [loosened[i] * (gradient[0] * v[1 + i]).sum() for i in range(len(v) - 1)]
    return torch.stack(each).relu().view(4, 4)


def test_as_a_literal_loop():
    net = woken(seeded(lambda: torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 24, num_classes=5)))
    x = pictures(2, 32)
    maps = attribute(net, x, [2, 4], method="grad_eclip", layer="encoder.layers.encoder_layer_2")
    for t, target in enumerate((2, 4)):
        for n in range(2):
            torch.testing.assert_close(maps[t, n], literal(net, x[n : n + 1], target), rtol=1e-4, atol=1e-6)
    assert maps.max() > 0


def test_a_transformer_of_a_library_and_one_that_reads_all_tokens():
    net = woken(timm.create_model("test_vit", num_classes=4))
    assert attribute(net, pictures(1, 160), [1], method="grad_eclip").shape == (1, 1, 10, 10)
    mean = woken(seeded(Head, True))
    assert attribute(mean, pictures(1), [1], method="grad_eclip", layer="blocks.2").max() > 0


def test_attention_that_is_spelled_out_is_refused():
    with pytest.raises(ExplainError, match=r"shows no attention among its 16 tokens"):
        attribute(woken(seeded(Head)), pictures(1), [1], method="grad_eclip", layer="blocks.2")
