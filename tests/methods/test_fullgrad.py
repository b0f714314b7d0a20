"""FullGrad: its parts add up to the score, and its map is that of a literal loop."""

import pytest
import timm
import torch
from tiny import network, pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute


class Biased(nn.Module):
    """Convolutions with and without biases, batch norms, an in-place ReLU, a pool, two linear layers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 6, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.c, self.d = nn.Linear(6 * 16, 9), nn.Linear(9, 4)
        for p in (self.norm.running_mean, self.norm.bias):
            nn.init.normal_(p)
        for p in (self.norm.running_var, self.norm.weight):
            nn.init.uniform_(p, 0.5, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.b(F.relu(self.a(x), inplace=True))), inplace=True)
        return self.d(F.relu(self.c(F.max_pool2d(x, 2).flatten(1))))


def literal(net, x, target):
    """The parts of one picture (1,3,16,16), each computed with the biases as tensors of their own."""
    x = x.clone().requires_grad_()
    norm = net.norm
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = (norm.bias - norm.running_mean * scale).detach()
    places = [net.a.bias.detach(), shift, net.c.bias.detach(), net.d.bias.detach()]
    biases = [
        places[0].view(1, -1, 1, 1).expand(1, 5, 16, 16).clone().requires_grad_(),
        places[1].view(1, -1, 1, 1).expand(1, 6, 8, 8).clone().requires_grad_(),
        places[2][None].clone().requires_grad_(),
        places[3][None].clone().requires_grad_(),
    ]
    y = F.relu(F.conv2d(x, net.a.weight, padding=1) + biases[0])
    y = F.relu(F.conv2d(y, net.b.weight, stride=2, padding=1) * scale.view(1, -1, 1, 1) + biases[1])
    y = F.relu(F.linear(F.max_pool2d(y, 2).flatten(1), net.c.weight) + biases[2])
    score = (F.linear(y, net.d.weight) + biases[3])[0, target]
    parts = [v.detach() * g for v, g in zip([x, *biases], torch.autograd.grad(score, [x, *biases]), strict=True)]
    return parts, score.detach()


def psi(part):
    size = part.abs()
    return F.interpolate((size - size.min()) / (size.max() - size.min()), (16, 16), mode="bilinear").sum(1)[0]


def test_as_a_literal_loop_and_complete():
    net, x = seeded(Biased).double(), pictures(2).double()
    maps = attribute(net, x, [0, 3], method="fullgrad")
    assert maps.shape == (2, 2, 16, 16)
    for t, target in enumerate((0, 3)):
        for n in range(2):
            parts, score = literal(net, x[n : n + 1], target)
            torch.testing.assert_close(sum(part.sum() for part in parts), score, rtol=1e-9, atol=1e-9)
            expected = sum(psi(part) for part in parts[:3])
            torch.testing.assert_close(maps[t, n].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "googlenet"])
def test_networks_people_have_are_complete(name):
    maps = attribute(network(name), pictures(1, 64), [3], method="fullgrad")
    assert maps.min() >= 0
    assert maps.max() > 0


class Bent(nn.Module):
    """Activations that are no ReLUs, one of them in place, one called twice."""

    def __init__(self, act=nn.SiLU):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        self.act, self.last = act(), nn.ReLU6(inplace=True)

    def forward(self, x):
        return self.c(self.last(60 * self.act(self.b(self.act(self.a(x))))).mean((2, 3)))


@pytest.mark.parametrize("act", [nn.SiLU, nn.GELU, nn.Tanh, nn.Hardswish, nn.ELU])
def test_what_a_tangent_misses_is_a_bias(act):
    """Sums of parts are the score at any activation, so nothing is refused; one that saturates has parts, too."""
    net, x = seeded(Bent, act).double(), pictures(2).double()
    assert (60 * net.act(net.b(net.act(net.a(x)))) > 6).any(), "the last activation is cut off somewhere"
    maps = attribute(net, x, [0, 2], method="fullgrad")
    one = attribute(net, x[1:], [2], method="fullgrad")
    torch.testing.assert_close(maps[1:, 1:], one)
    assert maps.max() > 0


def test_a_network_of_relu6():
    assert attribute(network("mobilenet_v2"), pictures(1, 64), [3], method="fullgrad").max() > 0


def test_batch_norms_with_an_activation_inside():
    net = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    with torch.no_grad():
        for norm in (own for own in net.modules() if isinstance(own, nn.BatchNorm2d)):
            norm.bias.uniform_(-0.5, 2)
    assert attribute(net, pictures(1, 64), [3], method="fullgrad").max() > 0


def test_what_it_is_not_defined_for_is_refused():
    class Hidden(nn.Module):
        """A bias that no layer holds."""

        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))
            self.more = nn.Parameter(torch.full((3,), 5.0))

        def forward(self, x):
            return self.net(x) + self.more

    class Gated(nn.Module):
        """A product of what the picture gives with what it gives."""

        def __init__(self):
            super().__init__()
            self.a, self.c = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return 9 * self.c((self.a(x) * self.a(x)).mean((2, 3)))

    class Last(nn.Module):
        """Channels last, where a linear layer stands for a convolution of 1×1."""

        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.c(self.b(self.a(x).permute(0, 2, 3, 1)).mean((1, 2)))

    with pytest.raises(ExplainError, match=r"Linear 'b' gives 4 dimensions"):
        attribute(seeded(Last), pictures(1), [1], method="fullgrad")
    for build in (Hidden, Gated):
        with pytest.raises(ExplainError, match=r"add up to .* where the score is"):
            attribute(seeded(build), pictures(1), [1], method="fullgrad")
