"""LibraGrad: completeness where it is a theorem, and its rules against networks in which they are written out."""

import pytest
import timm
import torch
import torchvision
from attending import Head, woken
from state import State
from tiny import Deep, pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute


def without_biases(net):
    """Nothing is added that does not come from the picture."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith(("bias", "_embedding", "embed", "_token")):
                p.zero_()
    return net


class Gated(nn.Module):
    """A block as language models have it: a norm spelled out, and a gated MLP."""

    def __init__(self, width=12):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4, bias=False)
        self.up, self.gate = nn.Linear(width, 20, bias=False), nn.Linear(width, 20, bias=False)
        self.down, self.head = nn.Linear(20, width, bias=False), nn.Linear(width, 5, bias=False)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        normed = tokens * torch.rsqrt(tokens.pow(2).mean(-1, keepdim=True) + 1e-6)
        tokens = tokens + self.down(F.silu(self.gate(normed)) * self.up(normed))
        return self.head(F.rms_norm(tokens, (12,)).mean(1))


class Quick(Gated):
    """With the GELU that is x times a sigmoid."""

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        hidden = self.up(tokens)
        return self.head((tokens + self.down(hidden * torch.sigmoid(1.702 * hidden))).mean(1))


NETS = {
    "spelled out": lambda: woken(seeded(Head)),
    "fused": lambda: woken(seeded(Head, True)),
    "timm": lambda: woken(seeded(timm.create_model, "test_vit", num_classes=5, img_size=32)),
    "torchvision": lambda: woken(
        torchvision.models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
        )
    ),
    "gated": lambda: woken(seeded(Gated)),
    "quick": lambda: woken(seeded(Quick)),
}


@pytest.mark.parametrize("name", NETS)
def test_contributions_add_up_where_nothing_else_is_added(name):
    net = without_biases(NETS[name]())
    x = pictures(2, 32 if name in ("timm", "torchvision") else 16)
    if name in ("timm", "torchvision"):  # the class token is nothing at first, and its norm would divide by nothing
        net = net.double()
        x = x.double()
    with torch.no_grad():
        scores = net(x)
    state = State(net)
    for target in (1, 3):
        own = attribute(net, x, [target], method="libragrad")[0].sum((1, 2, 3))
        plain = attribute(net, x, [target], method="gradient_x_input")[0].sum((1, 2, 3))
        torch.testing.assert_close(own, scores[:, target], rtol=2e-4, atol=1e-5)
        assert not torch.allclose(plain, scores[:, target], rtol=1e-2)
    state.check()


def test_cells_add_up_as_pixels_do():
    net, x = without_biases(woken(seeded(Head, True))), pictures(2)
    maps = attribute(net, x, [1, 4], layer="blocks.0", method="libragrad_cam", relu=False)
    torch.testing.assert_close(maps.sum((2, 3)), net(x)[:, [1, 4]].T.detach(), rtol=2e-4, atol=1e-5)


class Written(nn.Module):
    """The rules by hand, in a transformer of one block with biases."""

    def __init__(self, balanced):
        super().__init__()
        self.balanced, self.patches = balanced, nn.Conv2d(3, 12, 4, 4)
        self.norm, self.qkv, self.up, self.down = (
            nn.LayerNorm(12),
            nn.Linear(12, 36),
            nn.Linear(12, 20),
            nn.Linear(20, 12),
        )
        self.head = nn.Linear(12, 5)

    def normed(self, x):
        if not self.balanced:
            return self.norm(x)
        deviation = (x.var(-1, correction=0, keepdim=True) + self.norm.eps).sqrt().detach()
        return (x - x.mean(-1, keepdim=True)) / deviation * self.norm.weight + self.norm.bias

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.normed(tokens)).chunk(3, -1)
        attention = (q @ k.transpose(1, 2) / 12**0.5).softmax(-1)
        tokens = tokens + (attention.detach() if self.balanced else attention) @ v
        hidden = self.up(self.normed(tokens))
        if self.balanced:
            hidden = hidden * (0.5 * (1 + torch.erf(hidden / 2**0.5))).detach()
        else:
            hidden = F.gelu(hidden)
        return self.head((tokens + self.down(hidden)).mean(1))


@pytest.mark.parametrize("of", ["gradient", "gradient_x_input", "integrated_gradients"])
def test_as_the_rules_written_out(of):
    net, written = woken(seeded(Written, False)), woken(seeded(Written, True))
    written.load_state_dict(net.state_dict())
    x = pictures(2)
    made = attribute(net, x, [0, 2], method="libragrad", of=of)
    torch.testing.assert_close(made, attribute(written, x, [0, 2], method=of), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(made, attribute(net, x, [0, 2], method=of), rtol=1e-2)


@pytest.mark.parametrize("of", ["gradcam", "layercam"])
def test_maps_of_a_layer_as_the_rules_written_out(of):
    net, written = woken(seeded(Written, False)), woken(seeded(Written, True))
    written.load_state_dict(net.state_dict())
    made = attribute(net, pictures(2), [0, 2], layer="patches", method="libragrad_cam", of=of)
    torch.testing.assert_close(
        made, attribute(written, pictures(2), [0, 2], layer="patches", method=of), rtol=1e-3, atol=1e-5
    )


def test_networks_without_such_paths_keep_their_gradients():
    net, x = seeded(Deep), pictures(2)
    torch.testing.assert_close(
        attribute(net, x, [1], method="libragrad", of="gradient"), attribute(net, x, [1], method="gradient")
    )


@pytest.mark.parametrize(
    ("method", "of"), [("libragrad", "occlusion"), ("libragrad", "libragrad"), ("libragrad_cam", "gradient")]
)
def test_what_has_no_gradient_to_balance_says_so(method, of):
    with pytest.raises(ExplainError, match="LibraGrad balances gradients, not"):
        attribute(seeded(Deep), pictures(), [0], method=method, of=of)
