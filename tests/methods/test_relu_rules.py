"""The guided and deconvolution rules at every spelling of a ReLU, against a backward pass written by hand."""

import pytest
import torch
from relus import Net, by_hand
from tiny import pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute
from mmcam.engine.computation import Computation
from mmcam.engine.pixels import input_gradients
from mmcam.methods.relu_rules import ReluRule

FORMS = {
    "F.relu": F.relu,
    "F.relu(inplace=True)": lambda x: F.relu(x, inplace=True),
    "F.relu(x, True)": lambda x: F.relu(x, True),
    "F.relu(input=)": lambda x: F.relu(input=x),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU(inplace=True)": nn.ReLU(inplace=True),
}
CLIPPED = {
    "F.relu6": F.relu6,
    "F.relu6(inplace=True)": lambda x: F.relu6(x, inplace=True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6(inplace=True)": nn.ReLU6(inplace=True),
    "F.hardtanh(0, 6)": lambda x: F.hardtanh(x, 0, 6),
    "F.hardtanh_(0, 6)": lambda x: F.hardtanh_(x, 0.0, 6.0),
    "F.hardtanh(min_val=0, max_val=6)": lambda x: F.hardtanh(x, min_val=0.0, max_val=6.0),
}


def gradients(net, x, rule):
    """What the engine gives under a rule."""
    with ReluRule(rule) as rules:
        targets = [lambda out: out[:, 0], lambda out: out[:, 2]]
        return input_gradients(Computation(net, lambda p, _: net(p), x, targets), switch=rules.switch)[0]


@pytest.mark.parametrize("rule", ["guided", "deconv", "plain"])
@pytest.mark.parametrize("name", FORMS)
def test_every_spelling_of_a_relu_obeys_the_rule(name, rule):
    """Trap 3: peers swap modules, so a functional ReLU silently keeps the plain gradient."""
    net, x = seeded(Net, FORMS[name]), pictures(2, 8)
    got = gradients(net, x, rule)
    for t, target in enumerate((0, 2)):
        torch.testing.assert_close(got[t], by_hand(net, x, target, rule), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["guided", "deconv", "plain"])
@pytest.mark.parametrize("name", CLIPPED)
def test_every_spelling_of_a_relu6_is_flat_above_six_too(name, rule):
    net, x = seeded(Net, CLIPPED[name]), pictures(2, 8)
    got = gradients(net, x, rule)
    for t, target in enumerate((0, 2)):
        torch.testing.assert_close(got[t], by_hand(net, x, target, rule, 6.0), rtol=1e-4, atol=1e-6)


def test_the_rules_differ():
    net, x = seeded(Net, F.relu), pictures(2, 8)
    plain, guided, deconv = (gradients(net, x, rule) for rule in ("plain", "guided", "deconv"))
    for one, other in ((plain, guided), (guided, deconv), (plain, deconv)):
        assert float((one - other).abs().max()) > 0.05 * float(other.abs().max())


def test_values_of_the_forward_pass_do_not_change():
    net, x = seeded(Net, CLIPPED["nn.ReLU6(inplace=True)"]), pictures(2, 8)
    expected = net(x)
    with ReluRule("guided"):
        assert torch.equal(net(x.clone().requires_grad_()), expected)
        with torch.no_grad():
            assert torch.equal(net(x), expected)


SMOOTH = (
    nn.GELU(), nn.SiLU(), nn.SiLU(inplace=True), nn.Mish(), nn.ELU(), nn.CELU(), nn.SELU(), nn.LeakyReLU(), nn.PReLU(),
    nn.RReLU(), nn.Hardswish(), nn.Softplus(), F.gelu, F.silu, F.leaky_relu_, F.elu_, torch.celu, torch.selu_,
)  # fmt: skip


@pytest.mark.parametrize("activation", SMOOTH, ids=lambda a: getattr(a, "__name__", type(a).__name__))
@pytest.mark.parametrize("method", ["guided_backprop", "guided_gradcam"])
def test_other_activations_are_refused_by_name(activation, method):
    net, x = seeded(Net, activation), pictures(1, 8)
    with pytest.raises(ExplainError, match=r"defined for ReLU networks, and this one uses .*gradcam"):
        attribute(net, x, [0], layer="second", method=method)
    assert attribute(net, x, [0, 1, 2], layer="second").max() > 0


def test_sigmoids_gates_and_tanh_are_allowed():
    """Squashing functions are no rectifiers: an LSTM's gates or a squeeze-and-excitation keep their derivative."""
    net, x = seeded(Net, torch.tanh), pictures(1, 8)
    plain = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(plain)[:, 0].sum(), plain)
    torch.testing.assert_close(attribute(net, x, [0], layer="second", method="guided_backprop")[0], expected)


def test_a_hardtanh_that_is_no_relu6_keeps_its_derivative():
    net, x = seeded(Net, nn.Hardtanh(-1, 1)), pictures(1, 8)
    plain = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(plain)[:, 0].sum(), plain)
    torch.testing.assert_close(attribute(net, x, [0], layer="second", method="guided_backprop")[0], expected)
