"""Guided backprop and Guided Grad-CAM."""

import copy

import pytest
import torch
from tiny import LAYERS, network, pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute
from mmcam.engine.computation import Computation
from mmcam.engine.pixels import input_gradients
from mmcam.engine.run import run
from mmcam.places.survey import layer_at


class Net(nn.Module):
    def __init__(self, inplace=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace)
        )
        self.head = nn.Sequential(nn.Linear(8 * 4 * 4, 12), nn.ReLU(inplace), nn.Linear(12, 5))

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def test_guided_grad_cam_is_the_upsampled_plain_map_times_guided_backprop():
    """The map's half is the plain Grad-CAM: the guided rule must not leak into the pass to the layer."""
    net, x = seeded(Net), pictures(3)
    maps = attribute(net, x, [0, 4])
    up = F.interpolate(maps, x.shape[-2:], mode="bilinear", align_corners=False)
    guided = attribute(net, x, [0, 4], method="guided_backprop")
    got = attribute(net, x, [0, 4], method="guided_gradcam")
    assert got.shape == (2, 3, 3, 16, 16)
    assert got.abs().max() > 0
    torch.testing.assert_close(got, up[:, :, None] * guided, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("inplace", [False, True])
def test_the_second_time_gives_the_same(inplace):
    """Trap 2: gradients that add up in x.grad double on the second call; swapped modules lose `inplace`."""
    net = seeded(Net, inplace)
    x = pictures().requires_grad_()
    first = attribute(net, x, [0, 1], method="guided_backprop")
    second = attribute(net, x, [0, 1], method="guided_backprop")
    assert torch.equal(first, second)
    assert x.grad is None
    assert [m.inplace for m in net.modules() if isinstance(m, nn.ReLU)] == [inplace] * 3
    torch.testing.assert_close(first, attribute(seeded(Net), pictures(), [0, 1], method="guided_backprop"))


def test_nothing_stays_patched_after_an_exception():
    net, x = seeded(Net, True), pictures()
    plain = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(plain)[:, 0].sum(), plain)

    def fail(out):
        raise KeyError("in the target")

    with pytest.raises(ExplainError, match="fails on the model's output with KeyError: 'in the target'"):
        attribute(net, x, [fail], method="guided_backprop")
    plain = x.clone().requires_grad_()
    (after,) = torch.autograd.grad(net(plain)[:, 0].sum(), plain)
    assert torch.equal(after, expected)
    assert torch._C._len_torch_function_stack() == 0


def test_targets_and_pictures_do_not_mix():
    net, x = seeded(Net), pictures(3)
    for method in ("guided_backprop", "guided_gradcam"):
        together = attribute(net, x, [0, 3, lambda out: out[:, 1] - out[:, 2]], method=method)
        for t, target in enumerate((0, 3, lambda out: out[:, 1] - out[:, 2])):
            for n in range(3):
                alone = attribute(net, x[n : n + 1], [target], method=method)[0, 0]
                torch.testing.assert_close(together[t, n], alone, rtol=1e-4, atol=1e-8)


def test_one_forward_serves_both_halves():
    net, x = seeded(Net), pictures()
    attribute(net, x, [0], method="guided_gradcam")
    calls = []
    net.head.register_forward_hook(lambda *_: calls.append(1))
    attribute(net, x, [0, 1, 2], method="guided_gradcam")
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_evidence_of_the_pixel_pass_equals_the_engines(name):
    """Activations and gradient at the layer agree with the leaf engine's, whatever in-place ReLU follows."""
    model, x = network(name), pictures(2, 64)
    targets = [lambda out: out[:, 0], lambda out: out[:, 7]]
    computation = Computation(model, lambda p, _: model(p), x, targets)
    layer = layer_at(model, computation.alone, x, LAYERS[name])
    leaf = run(computation, layer)
    (evidence,) = input_gradients(computation, layers=[layer])[2]
    torch.testing.assert_close(evidence.activations, leaf.activations)
    torch.testing.assert_close(evidence.gradients, leaf.gradients, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(evidence.scores, leaf.scores)


def test_half_precision():
    """Rounding flips a few gates, so single pixels may differ, but not the picture."""
    net, x = seeded(Net), pictures()
    expected = attribute(net, x, [0], method="guided_gradcam")
    got = attribute(copy.deepcopy(net).bfloat16(), x.bfloat16(), [0], method="guided_gradcam")
    assert got.dtype == torch.float32
    assert float(F.cosine_similarity(got.flatten(), expected.flatten(), dim=0)) > 0.95
