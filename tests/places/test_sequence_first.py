"""Tokens that stand before the pictures in a tensor, the class token last: every method reads them as it should."""

import pytest
import torch
from tiny import pictures, seeded
from torch import nn

import mmcam


class Sequence(nn.Module):
    """Tokens (L,N,K) as PyTorch's own encoder takes them by default."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, 0.0) for _ in range(2))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).permute(2, 0, 1)
        tokens = torch.cat([tokens, self.token.expand(-1, tokens.shape[1], -1)])
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[-1])


def by_hand(model, x, target):
    """Grad-CAM at the first block from plain autograd."""
    kept = []
    handle = model.blocks[0].register_forward_hook(lambda m, i, o: kept.append(o) or o.retain_grad())
    model(x.clone().requires_grad_())[:, target].sum().backward()
    handle.remove()
    a, g = kept[0][:-1, 0].detach(), kept[0].grad[:-1, 0]
    return (a @ g.mean(0)).relu().view(x.shape[-2] // 4, -1)


def test_grad_cam_is_that_of_plain_autograd():
    model, x = seeded(Sequence), torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    maps = mmcam.attribute(model, x, [1, 2], layer="blocks.0")
    for t, target in enumerate((1, 2)):
        for n in range(3):
            expected = by_hand(model, x[n : n + 1], target)
            torch.testing.assert_close(maps[t, n], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["ablationcam", "scorecam", "hirescam", "guided_gradcam"])
def test_a_batch_is_its_pictures_one_by_one(method):
    model, x = seeded(Sequence), pictures(3, 32)
    maps = mmcam.attribute(model, x, [1, 2], layer="blocks.0", method=method)
    for n in range(3):
        one = mmcam.attribute(model, x[n : n + 1], [1, 2], layer="blocks.0", method=method)[:, 0]
        torch.testing.assert_close(maps[:, n], one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def test_the_default_and_how_its_cells_are_known():
    model = seeded(Sequence)
    exp = mmcam.explain_class(model, pictures(1, 32)[0], 1)
    assert (exp.layer, exp.cells) == ("blocks.0", "measured")
