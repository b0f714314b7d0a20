"""LeGrad against loops with attention written out, and another library."""

import pytest
import timm
import torch
import torchvision
from attending import Head, woken
from tiny import Gap, pictures, seeded
from torch import nn
from torchcam.methods import LeGrad

from mmcam import ExplainError, attribute


def small_vit():
    return torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
    )


def test_as_another_library_on_its_own_terms():
    """torchcam asks for the head behind a block; that of torchvision's transformer reads the class token."""
    net, x = woken(seeded(small_vit)), pictures(1, 32)
    maps = attribute(net, x, [2], method="legrad", layer="encoder.layers.encoder_layer_2")
    with LeGrad(
        net, list(net.encoder.layers), score_projection=lambda tokens: net.heads(net.encoder.ln(tokens)[:, 0])
    ) as theirs:
        net(x)
        each = theirs(2, normalized=False)
    mean = torch.stack([one[0] for one in each]).mean(0) if len(each) > 1 else each[0][0]
    assert maps.shape == (1, 1, 4, 4)
    ours = maps[0, 0] / maps.max()
    torch.testing.assert_close(ours, mean / mean.max(), rtol=1e-3, atol=1e-4)


def literal(net, x, target, count):
    tokens, total = net.patches(x).flatten(2).transpose(1, 2), 0
    inputs = []
    for block in net.blocks:
        inputs.append(tokens)
        tokens = block(tokens)
    for block, tokens in list(zip(net.blocks, inputs, strict=True))[-count:]:
        attention = block.pay(tokens).detach().requires_grad_()
        score = net.head(block(tokens, attention).mean(1))[0, target]
        (gradient,) = torch.autograd.grad(score, attention)
        total = total + gradient.relu().mean((0, 1, 2)) / count
    return total.unflatten(0, (4, 4))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("blocks", [0, 2])
def test_as_a_literal_loop(fused, blocks):
    net, x = woken(seeded(Head, fused)), pictures(3)
    maps = attribute(net, x, [1, 4], method="legrad", layer="blocks.2", blocks=blocks)
    plain = woken(seeded(Head))
    plain.load_state_dict(net.state_dict())
    for t, target in enumerate((1, 4)):
        for n in range(3):
            expected = literal(plain, x[n : n + 1], target, blocks or 3)
            torch.testing.assert_close(maps[t, n], expected, rtol=1e-4, atol=1e-6)
    assert maps.max() > 0
    assert all(p.grad is None for p in net.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "test_vit"])
def test_transformers_of_a_library(name):
    net = woken(timm.create_model(name, num_classes=4))
    side = 224 if "224" in name else 160
    maps = attribute(net, pictures(1, side), [1], method="legrad", blocks=2)
    assert maps.shape[2:] == ((14, 14) if "224" in name else (10, 10))
    assert maps.max() > 0


class Masked(nn.Module):
    """Attention of which a part is not paid, as a mask says."""

    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(12), nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x):
        y, mask = self.norm(x), torch.ones(16, 16, dtype=torch.bool).triu(1)
        return x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]


def test_attention_under_a_mask_is_refused_and_not_taken_without_it():
    net = seeded(Head)
    net.blocks = nn.ModuleList(Masked() for _ in range(2))
    with pytest.raises(ExplainError, match="shows no attention among its 16 tokens"):
        attribute(woken(net), pictures(1), [1], method="legrad", layer="blocks.1")


def test_a_network_without_blocks_of_attention():
    with pytest.raises(ExplainError, match="in no list of blocks"):
        attribute(seeded(Gap), pictures(1), [1], method="legrad", layer="features")
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(), nn.Linear(64, 2)))
    with pytest.raises(ExplainError, match=r"in no list of blocks|gives a map"):
        attribute(net, pictures(1), [1], method="legrad", layer="0")
    with pytest.raises(ExplainError, match=r"blocks=9 of 3 cannot be taken"):
        attribute(woken(seeded(Head)), pictures(1), [1], method="legrad", layer="blocks.2", blocks=9)
