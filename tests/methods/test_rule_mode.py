"""Rules of a user's own: the documented LRP-ε against loops over layers and captum, and what any table may count on."""

import gc
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from PIL import Image
from state import State
from tiny import Captioner, Gap, Stubborn, network, pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import METHODS, ExplainError, attribute, backward_rules, explain_caption
from mmcam.methods.operations import Operation

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "rules.md"


@pytest.fixture(scope="module", autouse=True)
def page():
    """What the page's blocks define; its method is registered meanwhile."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    yield names
    del METHODS["lrp_epsilon"]


def test_the_page_shows_what_it_says(page):
    assert page["pixels"].shape == (2, 2, 3, 224, 224)
    assert page["cells"].shape == (2, 2, 14, 14)
    rule = re.search(r"def damped.*?\n\n\n@mmcam.*?\n```", PAGE.read_text(), flags=re.DOTALL)[0]
    assert sum(bool(line.strip()) for line in rule.splitlines()[:-1]) <= 11


# --- LRP-ε ------------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Convolutions, ReLUs and linear layers, with max-pooling between; captum wants every ReLU a module of its own."""

    def __init__(self, bias=True, inplace=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=bias), nn.ReLU(inplace), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias), nn.ReLU(inplace),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(24, 8, bias=bias), nn.ReLU(inplace), nn.Linear(8, 4, bias=bias))

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def relevances(net, x, target, epsilon):
    """Relevance at the input of every layer for one picture, in float64 loops over eq. 58: {layer: (C,H,W) or (K,)}."""
    net, a = net.double(), x.double()[None]
    layers, inputs = [*net.features.named_children(), *net.head.named_children()], []
    with torch.no_grad():
        for i, (_, layer) in enumerate(layers):
            a = a.flatten(1) if i == len(net.features) else a
            inputs.append(a[0].numpy())
            a = layer(a)
    relevance = np.zeros(a.shape[1])
    relevance[target] = float(a[0, target])
    at = {}
    for (name, layer), below in reversed(list(zip(layers, inputs, strict=True))):
        relevance = share(layer, below, relevance.reshape(_shape(layer, below)), epsilon)
        at[("features." if below.ndim == 3 else "head.") + name] = relevance
    return at


def _shape(layer, below):
    with torch.no_grad():
        return layer(torch.from_numpy(below)[None]).shape[1:]


def share(layer, x, relevance, epsilon):
    """R_j = Σ_k z_jk / (z_k + ε·sign z_k) R_k, one k after the other; a ReLU hands R on, a maximum to its winner."""
    if isinstance(layer, nn.ReLU):
        return relevance
    out = np.zeros_like(x)
    if isinstance(layer, nn.MaxPool2d):
        for c, i, j in np.ndindex(relevance.shape):
            window = x[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            di, dj = np.unravel_index(window.argmax(), window.shape)
            out[c, 2 * i + di, 2 * j + dj] += relevance[c, i, j]
        return out
    weight = layer.weight.detach().numpy()
    for k in np.ndindex(relevance.shape):
        bias = 0.0 if layer.bias is None else float(layer.bias[k[0]].detach())
        if isinstance(layer, nn.Linear):
            parts = {(j,): x[j] * weight[k[0], j] for j in range(len(x))}
        else:
            parts = seen(layer, weight, x, k)
        z = sum(parts.values()) + bias
        for j, part in parts.items():
            out[j] += part / (z + epsilon * (1 if z >= 0 else -1)) * relevance[k]
    return out


def seen(conv, weight, x, k):
    """{neuron j below: z_jk} of a neuron k of a 3×3 convolution."""
    first = k[0] // (len(weight) // conv.groups) * weight.shape[1]
    parts = {}
    for c, r, s in np.ndindex(weight.shape[1:]):
        i, j = k[1] * conv.stride[0] - 1 + r, k[2] * conv.stride[1] - 1 + s
        if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
            parts[first + c, i, j] = x[first + c, i, j] * weight[k[0], c, r, s]
    return parts


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("epsilon", [1e-9, 0.05, 0.5])
def test_the_documented_rule_is_the_papers_equation_layer_by_layer(epsilon, bias, inplace, page):
    net, x = seeded(Plain, bias, inplace).double(), pictures(2, 8).double()
    at_pixels = attribute(net, x, [0, 3], method="lrp_epsilon", epsilon=epsilon)
    for t, target in enumerate((0, 3)):
        for n in range(2):
            at = relevances(net, x[n], target, epsilon)
            expected = at["features.0"]
            np.testing.assert_allclose(at_pixels[t, n], expected, rtol=0, atol=1e-9 * np.abs(expected).max())
            with page["damped"](epsilon):
                cells = attribute(net, x[n : n + 1], [target], layer="features.2", method="hirescam", relu=False)
            expected = at["features.3"].sum(0)
            np.testing.assert_allclose(cells[0, 0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("epsilon", [1e-9, 0.05, 0.5])
def test_the_documented_rule_is_captums(epsilon):
    net, x = seeded(Plain).double(), pictures(2, 8).double()
    ours = attribute(net, x, [0, 3], method="lrp_epsilon", epsilon=epsilon)
    for t, target in enumerate((0, 3)):
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.rule = EpsilonRule(epsilon)  # captum takes it off again
            elif isinstance(module, nn.MaxPool2d):
                module.rule = EpsilonRule(1e-15)
        theirs = LRP(net).attribute(x.clone().requires_grad_(), target=target)
        torch.testing.assert_close(ours[t], theirs, rtol=0, atol=1e-6 * float(theirs.detach().abs().max()))


class Joined(nn.Module):
    """A residual sum, a concatenation, average pools and ReLUs of all sorts, without biases."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(c, 4, 3, padding=1, bias=False) for c in (3, 4))
        self.third, self.fc = nn.Conv2d(8, 6, 3, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, x):
        a = F.max_pool2d(F.relu(self.first(x), inplace=True), 2)
        b = self.second(a)
        b += a
        b = self.third(torch.cat([b.clamp(min=0), F.avg_pool2d(a, 3, 1, 1)], 1))
        return self.fc(b.relu_().mean((2, 3)))


@pytest.mark.parametrize("build", [Joined, lambda: Plain(bias=False)], ids=["joined", "plain"])
def test_relevance_is_conserved_without_biases(build, page):
    net, x = seeded(build).double(), pictures(3, 16 if build is Joined else 8).double()
    scores = net(x).T.detach()
    targets = list(range(len(scores)))
    maps = attribute(net, x, targets, method="lrp_epsilon", epsilon=1e-12)
    torch.testing.assert_close(maps.sum((2, 3, 4)), scores, rtol=1e-6, atol=1e-9)
    damped = attribute(net, x, targets, method="lrp_epsilon", epsilon=0.1)
    assert (damped.sum((2, 3, 4)).abs() < scores.abs()).all()
    for layer in ("first", "second", "third") if build is Joined else ("features.0", "features.3"):
        with page["damped"](1e-12):
            cells = attribute(net, x, targets, layer=layer, method="hirescam", relu=False)
        if layer != "second":  # beside it runs the shortcut
            torch.testing.assert_close(cells.sum((2, 3)).double(), scores, rtol=1e-4, atol=1e-6)


def test_a_vanishing_epsilon_is_gradient_times_input():
    net, x = network("resnet18"), pictures(1, 64)
    plain = attribute(net, x, [0, 3], method="gradient_x_input")
    torch.testing.assert_close(
        attribute(net, x, [0, 3], method="lrp_epsilon", epsilon=1e-12),
        plain, rtol=0, atol=1e-3 * float(plain.abs().max()),
    )  # fmt: skip
    assert float((attribute(net, x, [0, 3], method="lrp_epsilon", epsilon=0.5) - plain).abs().max()) > 0


def test_a_word_has_the_same_relevance_however_the_captioner_runs(page):
    """One backward pass for all words, or a vectorised one where the model insists on its rows: the rule holds."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    how = {"layer": "encoder.0", "method": "hirescam", "relu": False}
    with page["damped"](0.1):
        one, other = (explain_caption(seeded(kind), picture, **how) for kind in (Captioner, Stubborn))
    plain = explain_caption(seeded(Captioner), picture, **how)
    for a, b, without in zip(one, other, plain, strict=True):
        size = float(a.values.abs().max())
        torch.testing.assert_close(a.values, b.values, rtol=0, atol=1e-4 * size)
        assert float((a.values - without.values).abs().max()) > 0.1 * size


# --- any table --------------------------------------------------------------------------------------------------------


class Everything(nn.Module):
    """Each kind of operation once on the way to `features`."""

    def __init__(self):
        super().__init__()
        self.features, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        a = self.features(x)
        return self.fc(F.relu(self.norm(self.conv(a)) + a.detach()).mean((2, 3)))


KINDS = ("linear", "conv2d", "average", "batch_norm", "add", "relu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_for_a_kind_replaces_just_that_derivative(kind):
    net, x = seeded(Everything), pictures(2, 8)
    plain = attribute(net, x, [0, 2], layer="features", method="hirescam", relu=False)

    def own(operation, gradient, *kept):
        assert operation.kind == kind
        return operation.derivative(gradient, *kept)

    def tripled(operation, gradient, *kept):
        given = operation.derivative(gradient, *kept)
        return tuple(3 * g for g in given) if kind == "add" else 3 * given

    for rule, factor in ((own, 1), (tripled, 3)):
        with backward_rules("test", {kind: rule}):
            got = attribute(net, x, [0, 2], layer="features", method="hirescam", relu=False)
        torch.testing.assert_close(got, factor * plain)
    assert torch.equal(attribute(net, x, [0, 2], layer="features", method="hirescam", relu=False), plain)


def test_a_sum_may_be_closed_on_one_side():
    class Shortcut(Gap):
        def forward(self, x):
            a = self.features(x)
            return self.fc(self.pool(a + torch.relu(self.features[2](a))).flatten(1))

    net, x = seeded(Shortcut), pictures()
    with torch.no_grad():
        a = net.features(x)
    with backward_rules("one side", {"add": lambda operation, gradient, a, b: (gradient, torch.zeros_like(gradient))}):
        got = attribute(net, x, [1], layer="features", method="hirescam", relu=False)
    torch.testing.assert_close(
        got[0], torch.einsum("k,nkhw->nhw", net.fc.weight[1].detach(), a) / 256, rtol=1e-4, atol=1e-6
    )


def test_other_weights_for_a_linear_layer():
    """The z⁺ rule on one layer behind the pool: R_j = Σ_k x_j w⁺_jk / Σ_j x_j w⁺_jk R_k."""

    def positive(operation, relevance, x):
        z, pull = torch.func.vjp(lambda x: operation.weigh(x, operation.weight.clamp(min=0)), x)
        return x * pull(relevance / (z + 1e-12))[0]

    layer, x = seeded(nn.Linear, 5, 3), torch.rand(2, 5).requires_grad_()
    with backward_rules("z⁺", {"linear": positive}):
        (got,) = torch.autograd.grad(layer(x)[:, 1].sum(), x)
    parts = x.detach() * layer.weight[1].detach().clamp(min=0)
    torch.testing.assert_close(got, parts / parts.sum(1, keepdim=True))


def test_a_table_and_a_method_with_rules_of_its_own_both_hold():
    net, x = seeded(Plain), pictures(2, 8)
    with backward_rules("halved", {"conv2d": lambda operation, gradient, x: operation.derivative(gradient, x) / 2}):
        got = attribute(net, x, [0], method="guided_backprop")
    torch.testing.assert_close(got, attribute(net, x, [0], method="guided_backprop") / 4)  # two convolutions


def test_what_a_rule_computes_is_seen_by_no_table():
    """PyTorch sets the modes aside for a backward pass, so that a rule which runs its layer does not call itself."""
    depths = []

    def rule(operation, gradient, x):
        depths.append(torch._C._len_torch_function_stack())
        return operation.derivative(gradient, x)

    net, x = seeded(Plain), pictures(2, 8).requires_grad_()
    with backward_rules("outer", {"linear": rule}), backward_rules("inner", {"conv2d": rule}):
        net(x)[:, 0].sum().backward()
        torch.autograd.grad(net(x)[:, 0].sum(), x)
    assert depths == [0] * 8


def test_an_unknown_kind_names_those_there_are():
    with (
        pytest.raises(ExplainError, match=r"no kind of operation 'conv'; rules are for linear, conv2d, .*, relu\."),
        backward_rules("mine", {"conv": lambda operation, gradient, x: gradient}),
    ):
        pass


def test_activations_that_are_no_relu_are_refused_by_name():
    net = seeded(Gap)
    net.features[1] = nn.GELU()
    with pytest.raises(ExplainError, match=r"The LRP-ε rule is defined for ReLU networks, and this one uses GELU"):
        attribute(net, pictures(), [0], method="lrp_epsilon")


@pytest.mark.parametrize("broken", [False, True])
def test_the_model_and_torch_are_left_as_found(broken):
    class BrokenError(Exception):
        pass

    def rule(operation, gradient, x):
        if broken:
            raise BrokenError
        return gradient

    net = seeded(Plain, inplace=True).train()
    net.head[0].weight.requires_grad_(False)
    state = State(net)
    if broken:
        with pytest.raises(BrokenError), backward_rules("broken", {"conv2d": rule, "relu": rule}):
            attribute(net, pictures(2, 8), [0], method="gradient")
    else:
        with backward_rules("passed on", {"relu": rule}):
            attribute(net, pictures(2, 8), [0], method="gradient")
    state.check()


@pytest.mark.parametrize("method", ["excitation_backprop", "c_mwp", "guided_backprop", "guided_gradcam", "lrp_epsilon"])
def test_no_graph_outlives_its_call(method):
    """Twenty calls leave as much memory as one: no operation of their forward passes is kept alive by the graph."""
    net, x = seeded(Plain, inplace=True), pictures(2, 8)
    gc.collect()
    for _ in range(20):
        attribute(net, x, [0, 1], method=method)
    assert not [kept for kept in gc.get_objects() if issubclass(type(kept), Operation)]
