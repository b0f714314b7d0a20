"""Excitation backprop against the paper's rule written out neuron by neuron, and shares that keep their sum."""

import copy
import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from state import State
from tiny import SMALL, VQA, Captioner, Gap, Stubborn, network, pictures, reference_evidence, seeded
from torch import nn
from torch.nn import functional as F

import models
from mmcam import ExplainError, attribute, explain_answer, explain_caption
from mmcam.datasets import vignettes

BOTH = ("excitation_backprop", "c_mwp")


# --- the rule, one winner after the other -----------------------------------------------------------------------------


def to_below(p, below):
    """P(j) = Σ_i P(j | i) P(i): each winner i shares its probability among the neurons j below, ∝ x_j w⁺_ij."""
    for i in np.ndindex(p.shape):
        parts = below(i)
        total = sum(parts.values())
        for j, part in parts.items():
            yield j, p[i] * part / total if total > 0 else 0.0


def gathered(x, shares):
    out = np.zeros_like(x)
    for j, share in shares:
        out[j] += share
    return out


def window(module, i, shape):
    """(place in the kernel, place in the input) of everything an output neuron (channel, row, column) sees."""
    pairs = (module.kernel_size, module.stride, module.padding)
    size, step, edge = (v if isinstance(v, tuple) else (v, v) for v in pairs)
    for r, c in np.ndindex(size):
        row, column = i[1] * step[0] - edge[0] + r, i[2] * step[1] - edge[1] + c
        if 0 <= row < shape[1] and 0 <= column < shape[2]:
            yield (r, c), (row, column)


def down(module, x, p):
    """Winning probabilities at a module's input x, from those at its output."""
    if isinstance(module, (nn.ReLU, nn.BatchNorm2d)):
        return p
    if isinstance(module, nn.Flatten):
        return p.reshape(x.shape)
    if isinstance(module, nn.AdaptiveAvgPool2d):  # to 1×1
        return gathered(x, to_below(p, lambda i: {(i[0], *at): x[(i[0], *at)] for at in np.ndindex(x.shape[1:])}))
    if isinstance(module, nn.AvgPool2d):
        return gathered(x, to_below(p, lambda i: {(i[0], *at): x[(i[0], *at)] for _, at in window(module, i, x.shape)}))
    if isinstance(module, nn.MaxPool2d):

        def winner(i):
            return {max(((i[0], *at) for _, at in window(module, i, x.shape)), key=lambda j: x[j]): 1.0}

        return gathered(x, to_below(p, winner))
    weight = module.weight.detach().numpy()
    if isinstance(module, nn.Linear):
        return gathered(x, to_below(p, lambda i: {(j,): x[j] * max(w, 0) for j, w in enumerate(weight[i])}))

    def seen(i):
        first = i[0] // (len(weight) // module.groups) * weight.shape[1]
        return {
            (first + k, *at): x[(first + k, *at)] * max(weight[(i[0], k, *place)], 0)
            for k in range(weight.shape[1])
            for place, at in window(module, i, x.shape)
        }

    return gathered(x, to_below(p, seen))


def started(slope, activations, contrastive):
    """Where probabilities start: p ∝ g⁺a⁺, and for the contrast less q ∝ (−g)⁺a⁺, each summing to 1."""
    speak, against = (np.maximum(sign * slope, 0) * np.maximum(activations, 0) for sign in (1, -1))
    return speak / speak.sum() - against / against.sum() if contrastive else speak / speak.sum()


def as_map(p):
    return torch.from_numpy(np.maximum(p.sum(0), 0)).float()


def same(got, expected, relative=1e-5):
    assert expected.max() > 0, "two empty maps agree"
    torch.testing.assert_close(got, expected, rtol=0, atol=relative * float(expected.max()))


# --- a chain of everything the rule is defined for --------------------------------------------------------------------

ENDS = {"flatten": (nn.Identity, 54), "average pool": (lambda: nn.AvgPool2d(2, 1), 24),
        "global pool": (lambda: nn.AdaptiveAvgPool2d(1), 6)}  # fmt: skip


class Chain(nn.Module):
    def __init__(self, end="global pool"):
        super().__init__()
        pool, width = ENDS[end]
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(),
        )  # fmt: skip
        self.end = nn.Sequential(pool(), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 4))
        norm = self.features[4]
        for values in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(values)
        nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x):
        return self.head(self.end(self.features(x)))

    def literal(self, x, row, layer, contrastive):
        """The map of one picture (3,H,W) at ``features.<layer>`` for a score that weighs the last hidden layer so."""
        parts = [m for part in (self.features, self.end, self.head) for m in part if not isinstance(m, nn.Identity)]
        seen, a = [], x[None]
        with torch.no_grad():
            for part in parts:
                seen.append(a[0].numpy())
                a = part(a)
        p = started(row.detach().numpy(), seen[-1], contrastive)
        for part, below in list(zip(parts, seen, strict=True))[-2:layer:-1]:
            p = down(part, below, p)
        return as_map(p)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_maps_equal_the_rule_written_out_neuron_by_neuron(method, end, kind):
    net, x = seeded(Chain, end).to(kind), pictures(2, 10).to(kind)
    weight = net.head[-1].weight
    targets = {0: weight[0], 3: weight[3], lambda out: out[:, 1] - out[:, 2]: weight[1] - weight[2]}
    for layer in range(6):
        got = attribute(net, x, list(targets), layer=f"features.{layer}", method=method)
        for t, row in enumerate(targets.values()):
            for n in range(2):
                expected = net.literal(x[n], row, layer, method == "c_mwp")
                same(got[t, n], expected, 1e-5 if kind is torch.float64 else 1e-4)


def test_the_two_methods_and_grad_cam_differ():
    net, x = seeded(Chain), pictures(1, 10)
    maps = [attribute(net, x, [1], layer="features.2", method=method)[0, 0] for method in (*BOTH, "gradcam")]
    maps = [values / values.sum() for values in maps]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert float((maps[one] - maps[other]).abs().max()) > 0.05


def test_the_input_layer_of_the_classifier_needs_no_hidden_layer():
    """Straight behind the layer comes a global pool and one linear layer: p ∝ w⁺_k A^k, on paper."""
    net, x = seeded(Gap), pictures(2)
    with torch.no_grad():
        a = net.features(x)
        shares = (net.fc.weight[2].relu()[:, None, None] * a).sum(1)
        against = ((-net.fc.weight[2]).relu()[:, None, None] * a).sum(1)
    p, q = (part / part.sum((1, 2), keepdim=True) for part in (shares, against))
    same(attribute(net, x, [2], method="excitation_backprop")[0], p)
    same(attribute(net, x, [2], method="c_mwp")[0], (p - q).relu())


def test_a_relu_hands_on_what_it_cut_at_six():
    """Its plain derivative there is zero, and the winners are the neurons at the ceiling."""
    net, x = seeded(Gap), pictures(2)
    net.features[2].weight.data.mul_(60)
    net.features[3] = nn.ReLU6()
    with torch.no_grad():
        a = net.features(x)
        assert 0.1 < float((a == 6).float().mean()) < 0.9
        shares = (net.fc.weight[2].relu()[:, None, None] * a).sum(1)
    expected = shares / shares.sum((1, 2), keepdim=True)
    same(attribute(net, x, [2], layer="features.2", method="excitation_backprop")[0], expected)


def test_only_positive_activations_win():
    """Without a ReLU before it, the classifier's input and what is pooled into it are signed."""
    net, x = seeded(Gap), pictures(2)
    net.features[3] = nn.Identity()
    with torch.no_grad():
        a = net.features(x)
        p = net.fc.weight[1].relu() * a.mean((2, 3)).relu()
        assert (a.mean((2, 3)) < 0).any()
        share = a.relu() / a.relu().sum((2, 3), keepdim=True)
        expected = torch.einsum("nk,nkhw->nhw", p / p.sum(1, keepdim=True), share)
    same(attribute(net, x, [1], layer="features", method="excitation_backprop")[0], expected)


@pytest.mark.parametrize(
    "bend",
    [lambda out: out.softmax(1)[:, 1], lambda out: torch.sigmoid(out[:, 1]), lambda out: out[:, 1] ** 3],
    ids=["softmax", "sigmoid", "cube"],
)
def test_a_score_bent_after_the_classifier_starts_with_its_own_slope(bend):
    net, x = seeded(Chain), pictures(1, 10)
    with torch.no_grad():
        hidden = net.head[:2](net.end(net.features(x)))
    hidden.requires_grad_()
    (slope,) = torch.autograd.grad(bend(net.head[2](hidden)).sum(), hidden)
    got = attribute(net, x, [bend], layer="features.2", method="excitation_backprop")
    same(got[0, 0], net.literal(x[0], slope[0], 2, False), 1e-4)


# --- the contrast -----------------------------------------------------------------------------------------------------


def negated(net, head):
    """A copy whose classifier's weights have the other sign: the paper's dual units."""
    dual = copy.deepcopy(net)
    dual.get_submodule(head).weight.data.neg_()
    return dual


@pytest.mark.parametrize(
    ("name", "layer", "head", "side"),
    [
        ("hand-made", "features.2", "head.2", 10),
        ("resnet18", "layer3", "fc", 64),
        ("googlenet", "inception4e", "fc", 64),
        ("densenet121", "features", "classifier", 64),
    ],
)
def test_the_contrast_is_the_map_less_that_of_the_negated_classifier(name, layer, head, side):
    """Section 3.3: one step by W and one by −W, each normalised, subtracted and handed down; positive parts are kept.

    Handing down is linear, so the two maps may be subtracted at the layer too.
    """
    net, x = (seeded(Chain) if name == "hand-made" else network(name)), pictures(1, side)
    dual = negated(net, head)
    p, q = (attribute(m, x, [0, 3], layer=layer, method="excitation_backprop") for m in (net, dual))
    same(attribute(net, x, [0, 3], layer=layer, method="c_mwp"), (p - q).relu(), 1e-4)
    torch.testing.assert_close((p - q).sum((2, 3)), torch.zeros(2, 1), rtol=0, atol=1e-4)


def test_the_contrast_by_negated_weights_neuron_by_neuron():
    """The same through the literal rule: the last layer's one step by W⁺ and (−W)⁺, before anything is handed down."""
    net, x = seeded(Chain).double(), pictures(1, 10).double()
    with torch.no_grad():
        hidden = net.head[:2](net.end(net.features(x)))[0].numpy()
    for target in range(4):
        one = np.zeros(4)
        one[target] = 1
        p, q = (down(m.head[2], hidden, one) for m in (net, negated(net, "head.2")))
        assert p.sum() == pytest.approx(1)
        assert q.sum() == pytest.approx(1)
        np.testing.assert_allclose(p - q, started(net.head[2].weight[target].detach().numpy(), hidden, True))


def test_the_contrast_of_a_score_and_of_its_negative_share_nothing():
    net, x = seeded(Chain), pictures(2, 10)
    both = attribute(net, x, [lambda out: out[:, 0], lambda out: -out[:, 0]], layer="features.2", method="c_mwp")
    assert (both.amax((2, 3)) > 0).all()
    assert float((both[0] * both[1]).max()) == 0


# --- shares keep their sum --------------------------------------------------------------------------------------------


class Grown(nn.Module):
    """A random network without biases or norms, so that every winner has something positive below it."""

    def __init__(self, blocks, end, channels=5):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.ReLU())
        self.kinds, self.blocks = blocks, nn.ModuleList()
        for _ in blocks:
            self.blocks.append(nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        self.strided = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        self.end, self.fc = end, nn.LazyLinear(4)

    def forward(self, x):
        a = self.stem(x)
        for kind, block in zip(self.kinds, self.blocks, strict=True):
            b = F.relu(block(a))
            if kind == "residual":
                a = F.relu(b + a)
            elif kind == "concatenation":
                a = torch.cat([b[:, :3], a[:, 3:]], 1)
            elif kind == "max pool":
                a = F.max_pool2d(b, 2, ceil_mode=True)
            elif kind == "average pool":
                a = F.avg_pool2d(b, 3, 2, 1, ceil_mode=True)
            elif kind == "stride":
                a = F.relu(self.strided(b))
            else:
                a = b
        a = F.adaptive_avg_pool2d(a, self.end) if self.end else a.mean((2, 3))
        return self.fc(a.flatten(1))


KINDS = st.sampled_from(["plain", "residual", "concatenation", "max pool", "average pool", "stride"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), kinds=st.lists(KINDS, min_size=1, max_size=4), end=st.sampled_from([0, 1, 2]),
    side=st.tuples(st.integers(6, 13), st.integers(6, 13)), target=st.integers(0, 3),
)  # fmt: skip
def test_probabilities_sum_to_one_in_any_network(seed, kinds, end, side, target):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net, x = Grown(kinds, end).eval(), torch.randn(2, 3, *side)
        net(x)
    kept = []
    handle = net.fc.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].detach()))
    net(x)
    handle.remove()
    for sign in (1, -1):
        speaks = ((sign * net.fc.weight[target]).relu() * kept[0]).sum(1) > 0
        maps = attribute(net, x, [lambda out, s=sign: s * out[:, target]], layer="stem", method="excitation_backprop")
        assert maps.min() >= 0
        torch.testing.assert_close(maps[0].sum((1, 2)), speaks.float(), rtol=0, atol=1e-4)


ARCHITECTURES = [
    ("vgg11_bn", "features.0"), ("vgg11_bn", "features.18"), ("vgg11_bn", "features.27"),
    ("alexnet", "features.0"), ("alexnet", "features.5"), ("alexnet", "features.11"),
    ("googlenet", "conv1"), ("googlenet", "inception3b"), ("googlenet", "inception5b"),
    ("resnet18", "conv1"), ("resnet18", "layer1"), ("resnet18", "layer3.0"), ("resnet18", "layer4"),
    ("densenet121", "features"), ("densenet121", "features.denseblock4"), ("densenet121", "features.denseblock3"),
    ("densenet121", "features.conv0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer"), ARCHITECTURES)
def test_probabilities_sum_to_one_at_every_layer(name, layer):
    """Splits at residual sums and concatenations add up again; DenseNet pools maps that were not rectified."""
    maps = attribute(network(name), pictures(1, 64), [0, 3], layer=layer, method="excitation_backprop")
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 1), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def scene():
    return Image.fromarray(vignettes.image(vignettes.seed("test", 3)))


@pytest.mark.parametrize("layer", ["encoder.features.0", "encoder.features.13", "encoder.features"])
def test_probabilities_of_the_bundled_classifier_sum_to_one(scene, layer):
    model = models.load("vignette-classifier")
    x = model.preprocess(scene)[0][None]
    maps = attribute(model, x, [0, 3], layer=layer, method="excitation_backprop")
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 1), rtol=0, atol=1e-3)


def test_probabilities_of_words_and_answers_of_the_bundled_models_sum_to_one(scene):
    spoken = explain_caption(models.load("vignette-captioner"), scene, method="excitation_backprop")
    answered = explain_answer(models.load("vignette-vqa"), scene, "what is on it", method="excitation_backprop")
    for exp in (*spoken, spoken.whole, answered):
        assert float(exp.values.sum()) == pytest.approx(1, abs=1e-3), exp.target
    assert float((spoken[0].values - answered.values).abs().max()) > 1e-3


# --- sums, concatenations and pools however they are written ----------------------------------------------------------

SUMS = {
    "a + b": lambda a, b: a + b,
    "b + a": lambda a, b: b + a,
    "torch.add": torch.add,
    "Tensor.add": lambda a, b: a.add(b),
    "b += a": lambda a, b: operator.iadd(b, a),
    "b.add_(a)": lambda a, b: b.add_(a),
    "sum([a, b])": lambda a, b: sum([a, b]),
    "torch.add(alpha=1)": lambda a, b: torch.add(a, b, alpha=1),
    "torch.add(input=, other=)": lambda a, b: torch.add(input=a, other=b),
}


class Residual(nn.Module):
    """A shortcut around a convolution without a ReLU of its own, so that one of the summands may be negative."""

    def __init__(self, join, pool=None):
        super().__init__()
        self.join, self.pool = join, pool or (lambda a: a.mean((2, 3)))
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        a = self.features(x)
        return self.fc(self.pool(F.relu(self.join(a, self.branch(a)))).flatten(1))

    def literal(self, x, target):
        """p at `features` and at `branch`, neuron by neuron, for a sum of both."""
        with torch.no_grad():
            a, b = self.features(x[None])[0], self.branch(self.features(x[None]))[0]
            y = (a + b).relu().numpy()
        p = self.fc.weight[target].detach().relu().numpy()[:, None, None] * y
        p, a, b = p / p.sum(), a.numpy(), b.numpy()
        of_a, of_b = np.zeros_like(p), np.zeros_like(p)
        for i in np.ndindex(p.shape):
            if p[i] > 0:
                plus = max(a[i], 0), max(b[i], 0)
                of_a[i], of_b[i] = (p[i] * part / sum(plus) for part in plus)
        return as_map(of_a + down(self.branch, a, of_b)), as_map(of_b)


@pytest.mark.parametrize("name", SUMS)
def test_a_residual_sum_splits_in_the_ratio_of_its_values_however_it_is_written(name):
    net, x = seeded(Residual, SUMS[name]), pictures(2, 7)
    maps = attribute(net, x, [0, 2], layer="features", method="excitation_backprop")
    for t, target in enumerate((0, 2)):
        for n in range(2):
            same(maps[t, n], net.literal(x[n], target)[0], 1e-4)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_layer_beside_a_shortcut_gets_its_share_only(trainable):
    """The shortcut wins the rest, whether or not a gradient can flow through it."""
    net, x = seeded(Residual, SUMS["a + b"]).requires_grad_(trainable), pictures(2, 7)
    maps = attribute(net, x, [0, 2], layer="branch", method="excitation_backprop")
    for t, target in enumerate((0, 2)):
        for n in range(2):
            expected = net.literal(x[n], target)[1]
            assert 0.1 < float(expected.sum()) < 0.9
            same(maps[t, n], expected, 1e-4)


def test_freezing_the_parameters_does_not_change_a_map():
    model, x = copy.deepcopy(network("resnet18")), pictures(1, 64)
    layers = ("layer2", "layer4.0.bn2", "layer4.0.downsample.1")
    expected = [attribute(model, x, [0], layer=layer, method="excitation_backprop") for layer in layers]
    model.requires_grad_(False)
    for layer, values in zip(layers, expected, strict=True):
        same(attribute(model, x, [0], layer=layer, method="excitation_backprop"), values)


@pytest.mark.parametrize("layer", ["left", "right"])
def test_a_concatenated_layer_gets_its_share_only(layer):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for _ in range(2))
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(torch.cat([self.left(x), self.right(x)], 1).mean((2, 3)))

    net, x = seeded(Two), pictures(2, 7)
    with torch.no_grad():
        shares = net.fc.weight[1].relu()[:, None, None] * torch.cat([net.left(x), net.right(x)], 1)
    shares = shares / shares.sum((1, 2, 3), keepdim=True)
    part = shares[:, :3] if layer == "left" else shares[:, 3:]
    same(attribute(net, x, [1], layer=layer, method="excitation_backprop")[0], part.sum(1))


POOLS = {
    "adaptive_avg_pool2d": lambda a: F.adaptive_avg_pool2d(a, 1),
    "nn.AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(1),
    "adaptive_avg_pool2d(input=)": lambda a: F.adaptive_avg_pool2d(input=a, output_size=1),
    "avg_pool2d": lambda a: F.avg_pool2d(a, 6),
    "avg_pool2d(kernel_size=)": lambda a: F.avg_pool2d(a, kernel_size=(6, 6)),
    "avg_pool2d(input=)": lambda a: F.avg_pool2d(input=a, kernel_size=6),
    "nn.AvgPool2d": nn.AvgPool2d(6),
    "mean((-2, -1))": lambda a: a.mean((-2, -1)),
    "mean(dim=, keepdim=)": lambda a: a.mean(dim=(2, 3), keepdim=True),
    "torch.mean": lambda a: torch.mean(a, (2, 3)),
    "torch.mean(input=)": lambda a: torch.mean(input=a, dim=(2, 3)),
    "mean(3).mean(2)": lambda a: a.mean(3).mean(2),
    "flatten(2).mean(2)": lambda a: a.flatten(2).mean(2),
    "two average pools": lambda a: F.avg_pool2d(F.avg_pool2d(a, 2), 3),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_global_average_is_the_same_however_it_is_written(name):
    net, x = seeded(Residual, torch.add, POOLS[name]), pictures(2, 6)
    maps = attribute(net, x, [0], layer="features", method="excitation_backprop")
    for n in range(2):
        same(maps[0, n], net.literal(x[n], 0)[0], 1e-4)


def test_a_batch_norm_may_be_called_by_its_arguments_names():
    class Norm(nn.Module):
        def __init__(self, named):
            super().__init__()
            self.features, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
            self.named = named

        def forward(self, x):
            a, norm = self.features(x), self.norm
            if self.named:
                a = F.batch_norm(input=a, running_mean=norm.running_mean, running_var=norm.running_var)
            else:
                a = norm(a)
            return self.fc(F.relu(a).mean((2, 3)))

    x = pictures(1, 8)
    expected = attribute(seeded(Norm, False), x, [0], layer="features", method="excitation_backprop")
    same(attribute(seeded(Norm, True), x, [0], layer="features", method="excitation_backprop"), expected)


def test_a_layer_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(F.relu(self.shared(F.relu(self.shared(x)))).mean((2, 3)))

    net, x = seeded(Twice), pictures(1, 7)
    with torch.no_grad():
        first = net.shared(x).relu()
        second = net.shared(first).relu()
    p = net.fc.weight[0].detach().relu()[:, None, None] * second[0]
    p = (p / p.sum()).numpy()
    for call, expected in ((1, p), (0, down(net.shared, first[0].numpy(), p))):
        got = attribute(net, x, [0], layer="shared", call=call, method="excitation_backprop")
        same(got[0, 0], as_map(expected), 1e-4)
    with pytest.raises(ExplainError, match="'shared' runs 2 times in one forward"):
        attribute(net, x, [0], layer="shared", method="excitation_backprop")


# --- networks the rule is not defined for -----------------------------------------------------------------------------


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, a):
        return a * torch.sigmoid(self.fc(a.mean((2, 3))))[:, :, None, None]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, a):
        tokens = a.flatten(2).transpose(1, 2)
        return self.inner(tokens, tokens, tokens)[0].transpose(1, 2).reshape(a.shape)


class ByHand(nn.Module):
    """Attention without a module of its own."""

    def forward(self, a):
        tokens = a.flatten(2).transpose(1, 2)
        return ((tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens).transpose(1, 2).reshape(a.shape)


UNDEFINED = {
    "squeeze and excitation": (Gate, "a sigmoid, products"),
    "GELU": (nn.GELU, "GELU"),
    "SiLU": (nn.SiLU, "SiLU"),
    "LeakyReLU": (nn.LeakyReLU, "LeakyReLU"),
    "tanh": (nn.Tanh, "tanh"),
    "attention": (Attention, "attention"),
    "attention by hand": (ByHand, "a softmax, products"),
    "fused attention": (lambda: lambda a: F.scaled_dot_product_attention(a, a, a), "attention"),
    "layer norm": (lambda: nn.LayerNorm([4, 6, 6]), "layer normalisation"),
    "group norm": (lambda: nn.GroupNorm(2, 4), "group normalisation"),
    "transposed convolution": (lambda: nn.ConvTranspose2d(4, 4, 3, padding=1), "transposed convolutions"),
}


class Around(nn.Module):
    """Something before the layer `features`, between it and the classifier, and behind the classifier."""

    def __init__(self, before=nn.Identity, between=nn.Identity, behind=nn.Identity):
        super().__init__()
        self.stem, self.before = nn.Conv2d(3, 4, 3, padding=1), before()
        self.features = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.between, self.next = between(), nn.Conv2d(4, 4, 3, padding=1)
        self.fc, self.behind = nn.Linear(4, 4), behind()

    def forward(self, x):
        a = self.between(self.features(self.before(self.stem(x))))
        return self.behind(self.fc(F.relu(self.next(a)).mean((2, 3))))


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("name", UNDEFINED)
@pytest.mark.parametrize("method", BOTH)
def test_an_operation_between_layer_and_classifier_that_has_no_rule_is_named(method, name, trainable):
    build, named = UNDEFINED[name]
    net = seeded(Around, between=build).requires_grad_(trainable)
    with pytest.raises(ExplainError, match=f"not defined for {named}, which this network uses; .*gradcam"):
        attribute(net, pictures(1, 6), [0], layer="features", method=method)


class Beside(nn.Module):
    """An operation beside what it is added to: random attention alone would leave no cell in its place."""

    def __init__(self, build):
        super().__init__()
        self.inner = build()

    def forward(self, a):
        return a + 0.1 * self.inner(a)


@pytest.mark.parametrize("name", UNDEFINED)
def test_the_same_operation_before_the_layer_does_no_harm(name):
    side = 16 if "attention" in name else 6  # of more pixels than there are bands, where cells have to be measured
    net, x = seeded(Around, before=lambda: Beside(UNDEFINED[name][0])), pictures(1, side)
    plain = seeded(Around)
    plain.load_state_dict(net.state_dict(), strict=False)
    with torch.no_grad():
        a = net.before(net.stem(x))
    plain.stem, plain.before = nn.Identity(), nn.Identity()
    got = attribute(net, x, [0, 1], layer="features", method="excitation_backprop")
    same(got, attribute(plain, a, [0, 1], layer="features", method="excitation_backprop"))


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    "bend", [nn.GELU(), nn.Sigmoid(), nn.Tanh(), nn.Softmax(1), lambda out: out * out.sigmoid()],
    ids=["GELU", "sigmoid", "tanh", "softmax", "gate"],
)  # fmt: skip
def test_an_operation_behind_the_classifier_is_a_part_of_the_score(bend, method):
    """Its plain slope counts, as it does in a target."""
    x = pictures(2, 6)
    targets = [lambda out, t=t: bend(out)[:, t] for t in range(4)]
    got = attribute(seeded(Around, behind=lambda: bend), x, list(range(4)), layer="features", method=method)
    same(got, attribute(seeded(Around), x, targets, layer="features", method=method))
    assert (got.amax((2, 3)) > 0).sum() >= 4


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small"])
def test_networks_with_gates_are_refused(name):
    with pytest.raises(ExplainError, match=r"not defined for .*products.*gradcam"):
        attribute(network(name), pictures(1, 64), [0], layer="features.2", method="excitation_backprop")


class Weighted(nn.Module):
    """An operation on `features` and a second map, with a matrix and a scale to learn."""

    def __init__(self, operation):
        super().__init__()
        self.operation = operation
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.second, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)
        self.matrix, self.scale = nn.Parameter(torch.rand(4, 4)), nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x):
        a = self.features(x)
        return self.fc(self.operation(self, a, F.relu(self.second(a))).mean((2, 3)))


OPERATIONS = {
    "a constant added": lambda m, a, b: a + 1.0,
    "dropout": lambda m, a, b: F.dropout2d(a, 0.5, m.training),
    "maximum": lambda m, a, b: torch.maximum(a, b),
    "where": lambda m, a, b: torch.where(a > 0, a, b),
    "amax": lambda m, a, b: a.amax((2, 3), keepdim=True),
    "channels in another order": lambda m, a, b: a[:, [2, 0, 3, 1]],
    "maximum over cells": lambda m, a, b: F.adaptive_max_pool2d(a, 2),
    "difference": lambda m, a, b: a - b,
    "a scaled sum": lambda m, a, b: torch.add(a, b, alpha=0.5),
    "a broadcast sum": lambda m, a, b: a + b.mean((2, 3), keepdim=True),
    "a stacked sum": lambda m, a, b: torch.stack([a, b]).sum(0),
    "sum pooling": lambda m, a, b: a.sum((2, 3), keepdim=True),
    "a constant factor": lambda m, a, b: a * 0.5,
    "a constant divisor": lambda m, a, b: a / 2,
    "a learnt factor": lambda m, a, b: a * m.scale,
    "a learnt matrix": lambda m, a, b: (a.permute(0, 2, 3, 1) @ m.matrix).permute(0, 3, 1, 2),
    "multiply": lambda m, a, b: torch.multiply(a, b),
    "addcmul": lambda m, a, b: torch.addcmul(a, a, b),
    "quotient": lambda m, a, b: a / (1 + b),
    "normalize": lambda m, a, b: F.normalize(a, dim=1),
    "rms_norm": lambda m, a, b: F.rms_norm(a, a.shape[1:]),
    "a power": lambda m, a, b: a**2,
    "exp": lambda m, a, b: torch.exp(a),
    "sqrt": lambda m, a, b: torch.sqrt(a + 1e-3),
    "lp_pool2d": lambda m, a, b: F.lp_pool2d(a, 2, 2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_has_no_rule_is_refused_rather_than_let_shares_grow_or_shrink(name):
    """A plain derivative in between would scale the probabilities without a word."""
    net = seeded(Weighted, OPERATIONS[name])
    try:
        maps = attribute(net, pictures(1, 6), [0, 1, 2], layer="features", method="excitation_backprop")
    except ExplainError as error:
        assert "not defined for" in str(error)  # noqa: PT017
    else:
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones(3, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", BOTH)
def test_a_layer_behind_the_top_is_told_so(method):
    class Convolutional(Gap):
        def __init__(self):
            super().__init__()
            self.scores, self.last = nn.Conv2d(8, 5, 1), nn.ReLU()

        def forward(self, x):
            return self.last(self.scores(self.features(x))).mean((2, 3))

    net = seeded(Convolutional)
    for layer in ("scores", "last"):
        with pytest.raises(ExplainError, match=r"Behind the layer there is nothing .*the input of the last layer"):
            attribute(net, pictures(), [0], layer=layer, method=method)
    over = {"over_cells": method == "c_mwp"}  # the contrast is nothing in each cell of the head's own input
    assert attribute(net, pictures(), [0], layer="features", method=method, **over).max() > 0


@pytest.mark.parametrize("method", BOTH)
def test_a_layer_beside_the_top_is_told_so(method):
    """The score looks at the layer, but not by way of the last layer with weights."""

    class Beside(Gap):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2d(8, 5, 1)

        def forward(self, x):
            a = self.features(x)
            return self.side(a).mean((2, 3)) + super().forward(x)

    with pytest.raises(ExplainError, match=r"(nothing|does not lie below).*the last layer with weights"):
        attribute(seeded(Beside), pictures(), [0], layer="side", method=method)


# --- words and answers ------------------------------------------------------------------------------------------------

CAPTION = "a dog runs on the grass"


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def word_slope(model, x, caption, places):
    """The encoder's output for one picture and a word's slope there, by ordinary backpropagation."""
    tokens = torch.tensor([model.encode(caption)])
    a, g = reference_evidence(model, "encoder", lambda: model.token_log_probs(x, tokens)[0, places].sum())
    return a[0].numpy(), g[0].numpy()


def through_encoder(model, slope, activations, x, layer, contrastive):
    """From the encoder's output down its last convolution."""
    p = started(slope, activations, contrastive)
    if layer in ("encoder.1", "encoder.0"):
        with torch.no_grad():
            p = down(model.encoder[2], model.encoder[:2](x)[0].numpy(), p)
    return as_map(p)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("kind", [Captioner, Stubborn])
@pytest.mark.parametrize("layer", [None, "encoder.2", "encoder.1", "encoder.0"])
def test_a_words_map_is_the_language_sides_slope_handed_down_the_encoder(method, kind, layer):
    model, x = seeded(kind), SMALL(picture())[0][None]
    made = explain_caption(model, picture(), layer=layer, method=method)
    for i in range(6) if layer is None else (1, 5):
        a, g = word_slope(model, x, CAPTION, [i])
        same(made[i].values, through_encoder(model, g, a, x, layer, method == "c_mwp"), 1e-4)
    a, g = word_slope(model, x, CAPTION, list(range(6)))
    same(made.whole.values, through_encoder(model, g, a, x, layer, method == "c_mwp"), 1e-4)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("layer", [None, "encoder.0"])
def test_an_answers_map_is_the_language_sides_slope_handed_down_the_encoder(method, layer):
    model, x, question = seeded(VQA), SMALL(picture())[0][None], "is it on the grass"
    for answer, against in (("no", None), ("red", None), ("no", "two")):
        got = explain_answer(model, picture(), question, answer, contrast=against, layer=layer, method=method)

        def score(answer=answer, against=against):
            scores = model.answer_scores(x, [question])[0]
            found = scores[model.answers.index(answer)]
            return found if against is None else found - scores[model.answers.index(against)]

        a, g = reference_evidence(model, "encoder", score)
        same(got.values, through_encoder(model, g[0].numpy(), a[0].numpy(), x, layer, method == "c_mwp"), 1e-4)
        assert got.score == pytest.approx(score().item(), abs=1e-5)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("layer", [None, "encoder.0"])
def test_a_word_rather_than_another_starts_with_the_slope_of_the_difference(method, layer):
    """Both captions see the same picture, so a neuron that speaks for both words alike speaks for neither."""
    model, x = seeded(Captioner), SMALL(picture())[0][None]
    others = (("cat", "a cat runs on the grass", [1]), ("big cat", "a big cat runs on the grass", [1, 2]))
    for contrast, other, places in others:
        got = explain_caption(model, picture(), "dog", contrast=contrast, layer=layer, method=method)
        (a, g), (_, minus) = word_slope(model, x, CAPTION, [1]), word_slope(model, x, other, places)
        same(got.values, through_encoder(model, g - minus, a, x, layer, method == "c_mwp"), 1e-4)


@pytest.mark.parametrize("method", BOTH)
def test_a_word_rather_than_itself_points_nowhere(method):
    try:
        exp = explain_caption(seeded(Captioner), picture(), "dog", contrast="dog", method=method)
    except ExplainError:
        return  # as Grad-CAM says: the target does not depend on the layer
    assert float(exp.values.max()) < 1e-6


def test_a_contrast_of_two_pictures_is_that_of_each():
    model, images = seeded(Captioner), [picture(0), picture(1)]
    captions = ["a dog on the grass", "the big dog"]
    made = explain_caption(model, images, "dog", caption=captions, contrast="cat", method="excitation_backprop")
    for exp, image, caption in zip(made, images, captions, strict=True):
        alone = explain_caption(model, image, "dog", caption=caption, contrast="cat", method="excitation_backprop")
        same(exp.values, alone.values, 1e-4)
        assert float(exp.values.sum()) == pytest.approx(1, abs=1e-4)


def test_what_the_language_side_computes_needs_no_rule():
    """The LSTM and its gates stand behind the encoder; the same operations inside the encoder are refused."""
    model = seeded(Captioner)
    assert explain_caption(model, picture(), "dog", method="excitation_backprop").values.max() > 0
    model.encoder.append(nn.Tanh())
    with pytest.raises(ExplainError, match="not defined for tanh"):
        explain_caption(model, picture(), "dog", layer="encoder.2", method="excitation_backprop")


# --- many pictures and targets, and the model afterwards --------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
def test_pictures_and_targets_do_not_mix(method):
    net, x = seeded(Chain), pictures(3, 10)
    targets = [0, torch.tensor([3, 1, 2]), lambda out: out[:, 0] - out[:, 2]]
    together = attribute(net, x, targets, layer="features.1", method=method)
    for t, target in enumerate(targets):
        for n in range(3):
            one = target[n : n + 1] if isinstance(target, torch.Tensor) else target
            same(together[t, n], attribute(net, x[n : n + 1], [one], layer="features.1", method=method)[0, 0])


def test_words_of_captions_of_different_lengths_in_one_batch():
    model, images, captions = seeded(Captioner), [picture(0), picture(1)], [CAPTION, "the big tree"]
    together = explain_caption(model, images, caption=captions, layer="encoder.1", method="c_mwp")
    for made, image, caption in zip(together, images, captions, strict=True):
        alone = explain_caption(model, image, caption=caption, layer="encoder.1", method="c_mwp")
        for one, other in zip([*made, made.whole], [*alone, alone.whole], strict=True):
            same(one.values, other.values, 1e-4)


def test_a_target_no_neuron_speaks_for_gives_an_empty_map():
    net = seeded(Gap)
    net.fc.weight.data[2] = -net.fc.weight.data[2].abs()
    assert attribute(net, pictures(), [2], method="excitation_backprop").abs().max() == 0
    assert torch.isfinite(attribute(net, pictures(), [2], method="c_mwp")).all()


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_without_gradients_get_the_same_maps(method, mode):
    net = seeded(Chain)
    expected = attribute(net, pictures(2, 10), [0, 1], layer="features.0", method=method)
    with mode():
        same(attribute(net, pictures(2, 10), [0, 1], layer="features.0", method=method), expected)


def test_an_encoder_inside_a_no_grad_block():
    class Frozen(Chain):
        def forward(self, x):
            with torch.no_grad():
                a = self.features(x)
            return self.head(self.end(a))

    expected = attribute(seeded(Chain), pictures(2, 10), [0, 1], layer="features.1", method="c_mwp")
    same(attribute(seeded(Frozen), pictures(2, 10), [0, 1], layer="features.1", method="c_mwp"), expected)


def in_place(net):
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    return net


@pytest.mark.parametrize("method", BOTH)
def test_relus_in_place_give_the_same_maps(method):
    for layer in range(6):
        expected = attribute(seeded(Chain), pictures(2, 10), [0, 1], layer=f"features.{layer}", method=method)
        got = attribute(in_place(seeded(Chain)), pictures(2, 10), [0, 1], layer=f"features.{layer}", method=method)
        same(got, expected)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("where", ["nowhere", "target", "head", "layer", "rule"])
def test_a_model_is_left_as_found(method, where):
    class BrokenError(Exception):
        pass

    def fail(*_):
        raise BrokenError

    net, x = in_place(seeded(Chain)), pictures(2, 10)
    net.train()
    net.features[4].eval()
    net.head[0].weight.requires_grad_(False)
    net.head[0].bias.grad = torch.ones_like(net.head[0].bias)
    handles = {
        "head": lambda: [net.head[1].register_forward_hook(fail)],
        "layer": lambda: [net.features[0].register_forward_pre_hook(fail)],
    }.get(where, list)()
    if where == "rule":
        net.head[1] = nn.GELU()
    state = State(net)
    target = fail if where == "target" else 0
    if where == "nowhere":
        attribute(net, x, [target, 1], layer="features.1", method=method)
    else:
        # what a user's own target raises is told in a sentence, as its cause
        with pytest.raises(ExplainError if where in ("rule", "target") else BrokenError) as told:
            attribute(net, x, [1, target], layer="features.1", method=method)
        assert where != "target" or isinstance(told.value.__cause__, BrokenError)
    state.check()
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("word", ["dog", "zebra", None])
def test_a_captioner_is_left_as_found(word):
    model = seeded(Captioner)
    state = State(model)
    if word == "zebra":
        model.encoder[1] = nn.GELU()
        state = State(model)
        with pytest.raises(ExplainError, match="GELU"):
            explain_caption(model, picture(), layer="encoder.0", method="c_mwp")
    else:
        explain_caption(model, picture(), word, contrast="cat" if word else None, layer="encoder.0", method="c_mwp")
    state.check()


def test_the_layer_is_the_same_tensor_grad_cam_explains():
    """An in-place ReLU behind the layer does not change what is explained: shares are of the ReLU's positive values."""
    model, x = network("densenet121"), pictures(1, 64)
    p = attribute(model, x, [0], layer="features", method="excitation_backprop")[0, 0]
    with torch.no_grad():
        a = model.features(x)[0].relu()
    shares = torch.einsum("k,khw->hw", model.classifier.weight[0].detach().relu(), a)
    same(p, shares / shares.sum(), 1e-4)
