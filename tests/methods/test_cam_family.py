"""Grad-CAM++, LayerCAM, XGrad-CAM, HiResCAM and the options the family shares.

Measured by loops written here from the papers' equations, by automatic derivatives of e^S, by closed forms, and by
torchcam and pytorch_grad_cam wherever those follow the papers.
"""

import re
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LAYERS, NETWORKS, Gap, network, pictures, reference_evidence, seeded
from torch import nn
from torch.nn import functional as F

import mmcam
from mmcam import METHODS, ExplainError, attribute
from mmcam.engine.run import Evidence
from mmcam.methods import cam as cam_module

MEMBERS = ("gradcam", "gradcam++", "layercam", "xgradcam", "hirescam")
FAMILY = (*MEMBERS, "cam", "smooth_gradcam++")
FUNCTIONS = {
    "gradcam": cam_module.gradcam,
    "gradcam++": cam_module.gradcam_plus_plus,
    "layercam": cam_module.layercam,
    "xgradcam": cam_module.xgradcam,
    "hirescam": cam_module.hirescam,
}


class Ladder(nn.Module):
    """Convolutions, then a perceptron with ReLUs: piecewise linear, another gradient at every cell, h ≠ w."""

    def __init__(self, channels=4, activation=nn.ReLU):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, channels, 3, stride=2, padding=1)
        )
        self.first, self.second = nn.Linear(channels * 3 * 5, 12), nn.Linear(12, 5)
        self.activation = activation()

    def forward(self, x):
        return self.behind(self.features(x))

    def behind(self, a):
        return self.second(self.activation(self.first(self.activation(a).flatten(1))))


def small(n=2, seed=1):
    """Pictures for the ladder: its layer then has 3 × 5 cells."""
    return torch.randn(n, 3, 6, 10, generator=torch.Generator().manual_seed(seed))


def family_model(method):
    """A network the method works on, its layer, and pictures."""
    return (seeded(Gap), "features", pictures()) if method == "cam" else (seeded(Ladder), "features", small())


def few(method):
    """Two noisy copies are enough to see that options reach them."""
    return {"n": 2, "sigma": 0.3} if method == "smooth_gradcam++" else {}


# The family in loops, one picture and one target: A and g are arrays (K, h, w), `neurons` true where a neuron counts.


def cells_of(a, neurons, k):
    rows, columns = a.shape[1:]
    return [(i, j) for i in range(rows) for j in range(columns) if neurons is None or neurons[k, i, j]]


def weighted(alpha, a, neurons):
    total = np.zeros(a.shape[1:])
    for k in range(len(a)):
        for i, j in cells_of(a, neurons, k):
            total[i, j] += alpha[k] * a[k, i, j]
    return total


def literal_gradcam(a, g, neurons=None):
    alpha = [sum(g[k, i, j] for i, j in cells_of(a, neurons, k)) / a[0].size for k in range(len(a))]
    return np.maximum(weighted(alpha, a, neurons), 0), alpha


def literal_plus_plus(a, g, neurons=None, normalise=True, derivatives=None):
    """Eqs. 10 and 19, from the first, second and third derivatives; a sum or denominator of zero is left alone."""
    first, second, third = derivatives or (g, g**2, g**3)
    alpha = []
    for k in range(len(a)):
        cells = cells_of(a, neurons, k)
        whole = sum(a[k, i, j] for i, j in cells)
        shares = {}
        for cell in cells:
            at = (k, *cell)
            below = 2 * second[at] + whole * third[at]
            shares[cell] = second[at] / (below if below != 0 else 1)
        total = sum(shares[cell] for cell in cells if first[(k, *cell)] > 0)
        scale = total if normalise and total != 0 else 1
        alpha.append(sum(shares[cell] / scale * max(first[(k, *cell)], 0) for cell in cells))
    return np.maximum(weighted(alpha, a, neurons), 0), alpha


def literal_layercam(a, g, neurons=None):
    return np.maximum(cellwise(np.maximum(g, 0), a, neurons), 0), None


def literal_xgradcam(a, g, neurons=None):
    alpha = []
    for k in range(len(a)):
        cells = cells_of(a, neurons, k)
        whole = sum(a[k, i, j] for i, j in cells)
        alpha.append(sum(g[k, i, j] * a[k, i, j] for i, j in cells) / whole if whole != 0 else 0.0)
    return np.maximum(weighted(alpha, a, neurons), 0), alpha


def literal_hirescam(a, g, neurons=None):
    return np.maximum(cellwise(g, a, neurons), 0), None


def cellwise(weights, a, neurons):
    total = np.zeros(a.shape[1:])
    for k in range(len(a)):
        for i, j in cells_of(a, neurons, k):
            total[i, j] += weights[k, i, j] * a[k, i, j]
    return total


LITERAL = {
    "gradcam": literal_gradcam,
    "gradcam++": literal_plus_plus,
    "layercam": literal_layercam,
    "xgradcam": literal_xgradcam,
    "hirescam": literal_hirescam,
}


def literal(method, activations, gradients, neurons=None, **options):
    """The loops over a batch: A (N,K,h,w), g (N,K,h,w) → maps (N,h,w) and weights (N,K) or None."""
    a, g = activations.double().numpy(), gradients.double().numpy()
    picked = [None] * len(a) if neurons is None else neurons
    made = [LITERAL[method](a[n], g[n], picked[n], **options) for n in range(len(a))]
    weights = None if made[0][1] is None else torch.tensor(np.stack([w for _, w in made])).float()
    return torch.tensor(np.stack([m for m, _ in made])).float(), weights


def close(got, expected, relative=1e-5):
    assert got.shape == expected.shape
    assert torch.isfinite(got).all()
    assert float((got - expected).abs().max()) <= relative * float(expected.abs().max())


# Formulas


@pytest.mark.parametrize("method", MEMBERS)
def test_a_member_is_its_papers_equation_on_a_networks_own_evidence(method):
    net, x = seeded(Ladder), small(3)
    maps = attribute(net, x, [0, 3], method=method)
    assert maps.shape == (2, 3, 3, 5)
    for t, target in enumerate((0, 3)):
        evidence = reference_evidence(net, "features", lambda: net(x)[:, target].sum())  # noqa: B023
        expected, _ = literal(method, *evidence)
        assert (expected.flatten(1).amax(1) > 0).all()
        close(maps[t], expected)


# Multiples of 1/4 and 1/2: sums, squares and cubes are exact in float32, so that zeros are zeros there too.
SHAPES = st.tuples(*(st.integers(1, 3) for _ in range(4)))


def drawn(shape, seed, lowest):
    rng = np.random.default_rng(seed)
    a = torch.tensor(rng.integers(lowest, 5, shape) / 2).float()
    g = torch.tensor(rng.integers(-4, 5, shape) / 4).float()
    return a, g


@pytest.mark.parametrize("method", MEMBERS)
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1), signed=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_member_is_its_papers_equation_with_dead_channels_and_zero_gradients(method, shape, seed, signed):
    a, g = drawn(shape, seed, -4 if signed else 0)
    # Normalised shares of signed activations may cancel to almost nothing, where rounding decides; see by hand below.
    options = {"normalise": not signed} if method == "gradcam++" else {}
    values, weights = FUNCTIONS[method](Evidence(a, g[None], torch.zeros(1, len(a))), **options)
    expected, expected_weights = literal(method, a, g, **options)
    torch.testing.assert_close(values[0], expected, rtol=1e-5, atol=5e-4)  # weights of up to 72 may cancel
    assert (weights is None) == (expected_weights is None)
    if weights is not None:
        torch.testing.assert_close(weights[0], expected_weights, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", MEMBERS)
def test_targets_and_pictures_keep_their_own_evidence(method):
    rng = torch.Generator().manual_seed(0)
    a, g = torch.rand(3, 2, 2, 4, generator=rng), torch.randn(5, 3, 2, 2, 4, generator=rng)
    values, _ = FUNCTIONS[method](Evidence(a, g, torch.zeros(5, 3)))
    assert values.shape == (5, 3, 2, 4)
    for t in range(5):
        close(values[t], literal(method, a, g[t])[0])


@pytest.mark.parametrize("method", MEMBERS)
def test_half_precision_evidence_is_reduced_in_float32(method):
    rng = torch.Generator().manual_seed(0)
    a, g = torch.rand(1, 2, 8, 8, generator=rng).half(), (1e-4 * torch.randn(1, 1, 2, 8, 8, generator=rng)).half()
    values, weights = FUNCTIONS[method](Evidence(a, g, torch.zeros(1, 1)))
    same, _ = FUNCTIONS[method](Evidence(a.float(), g.float(), torch.zeros(1, 1)))
    assert values.dtype == torch.float32
    assert weights is None or weights.dtype == torch.float32
    assert torch.equal(values, same)
    assert values.max() > 0


# Grad-CAM++


def derivatives_of_exp(net, x, target):
    """Y = e^S and its first three derivatives by every single activation, by automatic differentiation: (K,h,w)."""
    a = net.features(x).detach().requires_grad_()
    with torch.enable_grad():
        y = net.behind(a)[0, target].exp()
        (first,) = torch.autograd.grad(y, a, create_graph=True)
        second, third = torch.zeros_like(a), torch.zeros_like(a)
        for i in range(a.numel()):
            (row,) = torch.autograd.grad(first.flatten()[i], a, create_graph=True)
            second.view(-1)[i] = row.flatten()[i].detach()
            (row,) = torch.autograd.grad(row.flatten()[i], a, retain_graph=True)
            third.view(-1)[i] = row.flatten()[i]
    return a.detach()[0].numpy(), float(y.detach()), [d.detach()[0].numpy() for d in (first, second, third)]


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grad_cam_plus_plus_has_the_true_derivatives_of_the_exponential(seed, normalise):
    """The map less its factor e^S, which the docstring says is left out."""
    net, x = seeded(Ladder, seed=seed).double(), small(1, seed).double()
    for target in range(5):
        a, y, derivatives = derivatives_of_exp(net, x, target)
        expected, alpha = literal_plus_plus(a, None, normalise=normalise, derivatives=derivatives)
        assert max(alpha) > 0
        assert abs(y - 1) > 0.01, "a factor of 1 would not be noticed"
        got = attribute(net, x, [target], layer="features", method="gradcam++", normalise=normalise)[0, 0]
        close(y * got, torch.tensor(expected).float())
        exp = mmcam.explain_class(net, x[0], target, layer="features", method="gradcam++", normalise=normalise)
        close(y * exp.weights, torch.tensor(alpha).float())


def test_grad_cam_plus_plus_normalised_is_the_mean_positive_gradient_weighed_by_the_shares():
    """On paper: A sums to 2; g = (1, 2, -1, 0) → shares 1/(2+2·1), 1/(2+2·2) = 1/4, 1/6, of 5/12: 3/5 and 2/5.

    w = 3/5·1 + 2/5·2 = 7/5; without normalising 1/4 + 2/6 = 7/12.
    """
    a = torch.tensor([[[[2.0, 1.0], [-2.0, 1.0]]]])
    g = torch.tensor([[[[[1.0, 2.0], [-1.0, 0.0]]]]])
    for normalise, weight in ((True, 7 / 5), (False, 7 / 12)):
        values, weights = cam_module.gradcam_plus_plus(Evidence(a, g, torch.zeros(1, 1)), normalise=normalise)
        torch.testing.assert_close(weights, torch.tensor([[[weight]]]))
        torch.testing.assert_close(values, weight * a[None, :, 0].relu())


@pytest.mark.parametrize(
    ("g", "a", "plain", "normalised"),
    [
        ([1.0, 1.0], [-3.0, 1.0], 2.0, 1.0),  # 2g² + ΣA·g³ = 0: the share is g² / 1
        ([1.0, 3.0], [-3.0, 2.0], -2.0, -2.0),  # shares 1 and -1 of 0: left as they are, 1·1 - 1·3
        ([-1.0, -2.0], [1.0, 2.0], 0.0, 0.0),  # no positive gradient
        ([0.0, 0.0], [1.0, 2.0], 0.0, 0.0),
    ],
    ids=["zero denominator", "zero sum of shares", "only negative", "no gradient"],
)
def test_grad_cam_plus_plus_divides_by_no_zero(g, a, plain, normalised):
    evidence = Evidence(torch.tensor(a).view(1, 1, 1, 2), torch.tensor(g).view(1, 1, 1, 1, 2), torch.zeros(1, 1))
    for normalise, weight in ((False, plain), (True, normalised)):
        values, weights = cam_module.gradcam_plus_plus(evidence, normalise=normalise)
        torch.testing.assert_close(weights, torch.full((1, 1, 1), weight))
        torch.testing.assert_close(values[0, 0, 0], (weight * torch.tensor(a)).relu())


@pytest.mark.parametrize("method", ["gradcam++", "smooth_gradcam++"])
def test_a_score_whose_exponential_overflows_gives_the_map_without_its_bias(method):
    net, x = seeded(Ladder), small()
    plain = attribute(net, x, [1], method=method)
    with torch.no_grad():
        net.second.bias += 1000
    assert net(x)[0, 1].exp().isinf()
    assert plain.max() > 0
    assert torch.equal(attribute(net, x, [1], method=method), plain)


# Peers. Scores are multiplied by 1000 for both sides, so that the small numbers they add to denominators do not show.

SIDE, CLASSES, SCALE = 96, (3, 1), 1000.0


@pytest.fixture
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def peer_network(name):
    """densenet121 ends in an in-place ReLU, and peers then read another tensor; here it has a ReLU out of place."""
    model = network(name)
    if name != "densenet121":
        return model
    parts = {"features": model.features, "relu": nn.ReLU(), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts, classifier=model.classifier)).eval()


def ours(name, method, **options):
    def target(out):
        return SCALE * out.gather(1, torch.tensor(CLASSES)[:, None])[:, 0]

    return attribute(network(name), pictures(2, SIDE), [target], layer=LAYERS[name], method=method, **options)[0]


def torchcams(name, kind):
    model = peer_network(name)
    with kind(model, LAYERS[name]) as peer:
        scores = model(pictures(2, SIDE))
        (maps,) = peer(scores=scores, targets=[lambda out, c=c: SCALE * out[c] for c in CLASSES], normalized=False)
    return maps


def scaled(maps):
    """As pytorch_grad_cam does: the minimum to 0, then the maximum to 1; a map of one value becomes 0."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax((1, 2), keepdim=True))


def close_to_pytorch_grad_cam(name, kind, maps, tolerance):
    model = peer_network(name)
    with kind(model, [model.get_submodule(LAYERS[name])]) as peer:
        expected = torch.from_numpy(peer(pictures(2, SIDE), [lambda out, c=c: SCALE * out[c] for c in CLASSES]))
    up = F.interpolate(scaled(maps)[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    assert expected.max() > 0.99
    assert float((scaled(up) - expected).abs().max()) <= tolerance


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("method", "kind"), [("layercam", "LayerCAM"), ("xgradcam", "XGradCAM")])
def test_torchcams_maps(name, method, kind):
    # densenet's layer is signed, and channels that sum to almost 0 make XGrad-CAM sensitive.
    relative = 1e-4 if (name, method) == ("densenet121", "xgradcam") else 1e-5
    close(ours(name, method), torchcams(name, getattr(torchcam.methods, kind)), relative)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("gradcam++", "GradCAMPlusPlus"),
        ("layercam", "LayerCAM"),
        ("xgradcam", "XGradCAM"),
        ("hirescam", "HiResCAM"),
    ],
)
def test_pytorch_grad_cams_maps(name, method, kind):
    maps = ours(name, method, **({"normalise": False} if method == "gradcam++" else {}))
    tolerance = {"gradcam++": 5e-4, "xgradcam": 5e-4}.get(method, 1e-5)  # they add 1e-6 and 1e-7 to denominators
    close_to_pytorch_grad_cam(name, getattr(pytorch_grad_cam, kind), maps, tolerance)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "densenet121"])
def test_torchcams_grad_cam_plus_plus_never_divides(name):
    """It divides a copy, so its a is g², and its weights are Σ g²·ReLU(g): this fails when that is mended.

    Its denominator would be another one, too: the sum of A·g³ over the cells, not the sum of A times each g³.
    """
    peer = torchcams(name, torchcam.methods.GradCAMpp)
    model, x = network(name), pictures(2, SIDE)

    def scores():
        return SCALE * model(x).gather(1, torch.tensor(CLASSES)[:, None]).sum()

    a, g = reference_evidence(model, LAYERS[name], scores)
    undivided = torch.einsum("nk,nkhw->nhw", (g**2 * g.relu()).sum((2, 3)), a).relu()
    close(peer, undivided)
    mine = ours(name, "gradcam++", normalise=False)
    close(mine, literal("gradcam++", a, g, normalise=False)[0], 1e-4)
    apart = (scaled(peer) - scaled(mine)).abs().amax((1, 2))
    assert (apart > 0.05).all(), apart


# Closed forms


@pytest.mark.parametrize("name", ["hand-made", "resnet18", "googlenet", "mobilenet_v2"])
def test_before_a_global_pool_grad_cam_hirescam_and_xgrad_cam_are_one_map(name):
    """There g is the same at every cell: its mean, its value and its mean weighed by A are one number."""
    model, layer, x = (
        (seeded(Gap), "features", pictures()) if name == "hand-made" else (network(name), LAYERS[name], pictures(2, 96))
    )
    maps = {m: attribute(model, x, [0, 3], layer=layer, method=m) for m in ("gradcam", "hirescam", "xgradcam", "cam")}
    cells = maps["cam"].shape[-2] * maps["cam"].shape[-1]
    assert maps["gradcam"].max() > 0
    close(maps["hirescam"], maps["gradcam"])
    close(maps["xgradcam"], maps["gradcam"])
    close(maps["hirescam"], (maps["cam"] / cells).relu())
    signed = [attribute(model, x, [0, 3], layer=layer, method=m, relu=False) for m in ("gradcam", "hirescam")]
    assert signed[0].min() < 0
    close(signed[1], signed[0])
    close(signed[0], maps["cam"] / cells)


class Flat(nn.Module):
    """Convolution, ReLU, and one linear layer on all neurons."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(4 * 6 * 10, 5)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


@pytest.mark.parametrize("build", [Flat, Gap])
def test_signed_hirescam_sums_to_the_score_less_its_bias(build):
    net, x = seeded(build), small(3)
    maps = attribute(net, x, [0, 1, 4], layer="features", method="hirescam", relu=False)
    expected = (net(x) - net.fc.bias)[:, [0, 1, 4]].T.detach()
    torch.testing.assert_close(maps.sum((2, 3)), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(attribute(net, x, [0, 1, 4], layer="features", method="hirescam").sum((2, 3)), expected)


def test_xgrad_cam_sums_to_the_score_less_its_bias_where_no_channel_is_dead():
    """The paper's conservation. The signed map is what speaks for the score less what speaks against it."""
    net, x = seeded(Flat), small(3)
    assert (net.features(x).sum((2, 3)) > 0).all()
    signed = attribute(net, x, [0, 1], layer="features", method="xgradcam") - attribute(
        net, x, [0, 1], layer="features", method="xgradcam", counterfactual=True
    )
    assert signed.min() < 0 < signed.max()
    torch.testing.assert_close(signed.sum((2, 3)), (net(x) - net.fc.bias)[:, [0, 1]].T.detach(), rtol=1e-5, atol=1e-6)


def test_layercam_is_hirescam_where_no_gradient_is_negative():
    net, x = seeded(Ladder), small()
    before = attribute(net, x, [0, 1], method="layercam") - attribute(net, x, [0, 1], method="hirescam")
    assert before.abs().max() > 0.01 * attribute(net, x, [0, 1], method="layercam").max()
    with torch.no_grad():
        net.first.weight.abs_()
        net.second.weight.abs_()
    maps = attribute(net, x, [0, 1], method="layercam")
    assert maps.max() > 0
    close(maps, attribute(net, x, [0, 1], method="hirescam"))


def test_xgrad_cam_gives_a_channel_that_sums_to_zero_no_weight():
    a = torch.tensor([[[[1.0, -1.0], [2.0, -2.0]], [[1.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    g = torch.tensor([[[[[5.0, 1.0], [2.0, 7.0]], [[2.0, 9.0], [9.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]]]])
    values, weights = cam_module.xgradcam(Evidence(a, g, torch.zeros(1, 1)))
    torch.testing.assert_close(weights, torch.tensor([[[0.0, 3.5, 0.0]]]))  # (2·1 + 4·3) / 4
    torch.testing.assert_close(values, 3.5 * a[None, :, 1])


@pytest.mark.parametrize("method", MEMBERS)
def test_weights_reach_the_explanation_where_a_channel_has_one(method):
    net, x = seeded(Ladder), small(1)
    exp = mmcam.explain_class(net, x[0], 2, method=method)
    _, weights = literal(method, *reference_evidence(net, "features", lambda: net(x)[0, 2]))
    if method in ("layercam", "hirescam"):
        assert exp.weights is weights is None
    else:
        close(exp.weights, weights[0])


# Grad-CAM's ablations


def test_grad_cam_without_its_relu_absolute_and_by_the_maximum():
    net, x = seeded(Ladder), small()
    a, g = reference_evidence(net, "features", lambda: net(x)[:, 2].sum())
    rules = {
        "relu": lambda a, g: (g.mean((2, 3), keepdim=True) * a).sum(1),
        "absolute": lambda a, g: (g.abs().mean((2, 3), keepdim=True) * a).sum(1).relu(),
        "pooling": lambda a, g: (g.amax((2, 3), keepdim=True) * a).sum(1).relu(),
        "absolute and pooling": lambda a, g: (g.abs().amax((2, 3), keepdim=True) * a).sum(1).relu(),
    }
    options = {
        "relu": {"relu": False},
        "absolute": {"absolute": True},
        "pooling": {"pooling": "max"},
        "absolute and pooling": {"absolute": True, "pooling": "max"},
    }
    plain = attribute(net, x, [2])[0]
    for name, rule in rules.items():
        expected = rule(a, g)
        close(attribute(net, x, [2], **options[name])[0], expected)
        assert float((expected - plain).abs().max()) > 0.05 * float(plain.max()), name


def test_an_unknown_pooling_names_the_two_there_are():
    with pytest.raises(ExplainError, match=r"There is no pooling 'median' of gradients; choose 'mean' or 'max'\."):
        attribute(seeded(Ladder), small(), [0], pooling="median")


def gradient_by_hand(net, x, target, rule):
    """The way back from the score through the perceptron, the rule's gates at its two ReLUs."""
    a = net.features(x)
    hidden = net.first(a.relu().flatten(1))

    def gate(gradient, inputs):
        if rule in ("guided", "deconv"):
            gradient = gradient * (gradient > 0)
        if rule in ("guided", "plain"):
            gradient = gradient * (inputs > 0)
        return gradient

    back = gate(net.second.weight[target].expand(len(x), -1), hidden) @ net.first.weight
    return a.detach(), gate(back.view_as(a), a).detach()


@pytest.mark.parametrize("rule", ["plain", "guided", "deconv"])
@pytest.mark.parametrize("method", MEMBERS)
def test_relu_rules_hold_between_score_and_layer(method, rule):
    net, x = seeded(Ladder), small()
    maps = attribute(net, x, [0, 3], method=method, relu_rule=rule)
    for t, target in enumerate((0, 3)):
        close(maps[t], literal(method, *gradient_by_hand(net, x, target, rule))[0])
    plain = attribute(net, x, [0, 3], method=method)
    assert torch.equal(maps, plain) == (rule == "plain")


def test_relu_rules_are_refused_where_the_activation_is_no_relu():
    net, x = seeded(Ladder, activation=nn.GELU), small()
    for method in (*MEMBERS, "smooth_gradcam++"):
        with pytest.raises(ExplainError, match=r"guided rule is defined for ReLU networks, and this one uses GELU"):
            attribute(net, x, [0], layer="features", method=method, relu_rule="guided")
        assert attribute(net, x, [0], layer="features", method=method).max() > 0


# What lowers the score


@pytest.mark.parametrize("method", FAMILY)
def test_a_counterfactual_is_the_map_of_the_negated_score(method):
    net, layer, x = family_model(method)
    options = few(method)
    targets = [1, torch.tensor([0, 2])]
    negated = [lambda out: -out[:, 1], lambda out: -out.gather(1, targets[1][:, None])[:, 0]]
    maps = attribute(net, x, targets, layer=layer, method=method, counterfactual=True, **options)
    expected = attribute(net, x, negated, layer=layer, method=method, **options)
    assert torch.equal(maps, expected)
    assert (maps.flatten(2).abs().amax(2) > 0).all()
    assert not torch.allclose(maps, attribute(net, x, targets, layer=layer, method=method, **options))


def test_a_counterfactual_keeps_the_score_of_the_question():
    net, x = seeded(Ladder), small(1)
    for method in FAMILY[:5]:
        exp = mmcam.explain_class(net, x[0], 2, method=method, counterfactual=True)
        assert exp.score == pytest.approx(float(net(x)[0, 2].detach()))


# Some channels, some cells


def channels_of(method):
    return 8 if method == "cam" else 4


def masks(shape):
    """One mask for all pictures, and one each; neither full, empty nor symmetric."""
    one = torch.zeros(shape, dtype=torch.bool)
    one[1:, : shape[1] // 2] = True
    return one, torch.stack([one, ~one])


@pytest.mark.parametrize("method", FAMILY)
def test_all_units_and_all_cells_are_the_whole_map(method):
    net, layer, x = family_model(method)
    options = few(method) | {"layer": layer, "method": method}
    whole = attribute(net, x, [0, 2], **options)
    units = list(range(channels_of(method)))
    assert torch.equal(attribute(net, x, [0, 2], units=units, **options), whole)
    assert torch.equal(attribute(net, x, [0, 2], mask=torch.ones(whole.shape[2:], dtype=bool), **options), whole)
    assert torch.equal(attribute(net, x, [0, 2], units=units[::-1], mask=np.ones(whole.shape[1:]), **options), whole)


@pytest.mark.parametrize("method", FAMILY)
def test_outside_the_mask_a_map_is_zero(method):
    net, layer, x = family_model(method)
    options = few(method) | {"layer": layer, "method": method} | ({"relu": False} if method == "gradcam" else {})
    size = attribute(net, x, [0, 2], **options).shape[2:]
    for mask in masks(size):
        maps = attribute(net, x, [0, 2], mask=mask, **options)
        inside = mask.expand(2, 2, *size)
        assert not maps[~inside].any()
        assert maps[inside].any()


def neurons_of(units, mask, n, channels, size):
    picked = torch.zeros(n, channels, *size, dtype=torch.bool)
    picked[:, units] = True
    return (picked & mask.expand(n, *size)[:, None]).numpy()


@pytest.mark.parametrize("method", [*MEMBERS, "smooth_gradcam++"])
@pytest.mark.parametrize("each", [0, 1], ids=["one mask", "a mask a picture"])
def test_chosen_neurons_are_the_only_ones_that_count(method, each):
    """Every sum of the equations runs over the chosen neurons; without noise Smooth Grad-CAM++ is Grad-CAM++."""
    net, x = seeded(Ladder), small()
    mask, units = masks((3, 5))[each], [0, 3]
    smooth = method == "smooth_gradcam++"
    options = {"n": 2, "sigma": 0.0} if smooth else {}
    maps = attribute(net, x, [1, 4], method=method, units=units, mask=mask, **options)
    for t, target in enumerate((1, 4)):
        evidence = reference_evidence(net, "features", lambda: net(x)[:, target].sum())  # noqa: B023
        neurons = neurons_of(units, mask, 2, 4, (3, 5))
        expected, _ = literal("gradcam++" if smooth else method, *evidence, neurons)
        close(maps[t], expected)
    assert maps.max() > 0


def test_cam_of_some_neurons_keeps_their_weights():
    """A part of the cells shows no pooling, so the weights are those of the linear layer as ever."""
    net, x = seeded(Gap), small()
    units, (mask, _) = [1, 2, 6], masks((6, 10))
    exp = mmcam.explain_class(net, x[0], 2, method="cam", units=units, mask=mask)
    weights = torch.zeros(8)
    weights[units] = net.fc.weight[2, units].detach()
    torch.testing.assert_close(exp.weights, weights, rtol=1e-4, atol=1e-6)
    expected = torch.einsum("k,khw->hw", weights, net.features(x[:1])[0].detach()) * mask
    close(exp.values, expected, 1e-4)


@given(labels=st.lists(st.integers(0, 2), min_size=4, max_size=4))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_signed_maps_of_groups_of_units_add_up(method, labels):
    net, x = seeded(Ladder), small()
    groups = [[k for k in range(4) if labels[k] == label] for label in set(labels)]
    parts = [attribute(net, x, [0, 2], method=method, relu=False, units=group) for group in groups]
    close(sum(parts), attribute(net, x, [0, 2], method=method, relu=False))


def test_signed_hirescams_of_a_mask_and_its_complement_add_up():
    net, x = seeded(Ladder), small()
    mask, _ = masks((3, 5))
    parts = [attribute(net, x, [0, 2], method="hirescam", relu=False, mask=m) for m in (mask, ~mask)]
    assert all(part.any() for part in parts)
    torch.testing.assert_close(parts[0] + parts[1], attribute(net, x, [0, 2], method="hirescam", relu=False))


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ([0, 8], r"^There is no unit 8; the layer has units 0…\d\.$"),
        ([-1], r"^There is no unit -1; the layer has units 0…\d\.$"),
        ([], r"^The list of units is empty; the layer has units 0…\d\.$"),
    ],
)
def test_units_the_layer_does_not_have(method, units, sentence):
    net, layer, x = family_model(method)
    with pytest.raises(ExplainError, match=sentence) as error:
        attribute(net, x, [0], layer=layer, method=method, units=units)
    assert f"0…{channels_of(method) - 1}." in str(error.value)


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize(
    "shape",
    [
        lambda h, w: (w,),
        lambda h, w: (h + 1, w),
        lambda h, w: (h, w - 1),
        lambda h, w: (w, h + 1),
        lambda h, w: (3, h, w),
        lambda h, w: (2, 1, h, w),
    ],
    ids=["a row", "a row more", "a column less", "turned", "three for two pictures", "four axes"],
)
def test_masks_of_another_size_than_the_layer(method, shape):
    net, layer, x = family_model(method)
    height, width = attribute(net, x, [0], layer=layer, method=method).shape[2:]
    wrong = shape(height, width)
    with pytest.raises(ExplainError) as error:
        attribute(net, x, [0], layer=layer, method=method, mask=torch.ones(wrong))
    assert str(error.value) == (
        f"The mask has shape {wrong}; the layer has {height}×{width} cells: "
        "pass one mask of that size, or one a picture (N,h,w)."
    )


# A user's own


def test_a_function_of_evidence_becomes_a_method_with_the_options_of_the_family():
    """The block of the documentation, as it stands."""
    page = Path(__file__).parents[2] / "docs" / "methods" / "cam.md"
    names = {}
    try:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            exec(compile(block, str(page), "exec"), names)
        net, x = seeded(Ladder), small()
        options = {"units": [0, 3], "mask": masks((3, 5))[1], "counterfactual": True, "relu_rule": "guided"}
        own = attribute(net, x, [1, 4], method="powercam", power=1.0, **options)
        assert torch.equal(own, attribute(net, x, [1, 4], method="gradcam", **options))
        assert not torch.equal(own, attribute(net, x, [1, 4], method="powercam", **options))
        exp = mmcam.explain_class(net, x[0], 2, method="powercam", power=3.0)
        torch.testing.assert_close(exp.weights, mmcam.explain_class(net, x[0], 2).weights)
        assert list(METHODS["powercam"].options) == ["power", "units", "mask", "counterfactual", "relu_rule"]
        with pytest.raises(ExplainError, match=r"has no option 'pow'; its options are power, units, mask, "):
            attribute(net, x, [0], method="powercam", pow=1.0)
        with pytest.raises(ExplainError, match=r"Option power='2' of method 'powercam' has to be of type float"):
            attribute(net, x, [0], method="powercam", power="2")
        assert names["powercam"](Evidence(torch.ones(1, 2, 1, 1), torch.ones(1, 1, 2, 1, 1), torch.zeros(1, 1)))[0] == 2
        with pytest.raises(ValueError, match="There is a method 'powercam' already"):
            mmcam.register_cam("powercam", "again")(names["powercam"])
    finally:
        METHODS.pop("powercam", None)


def test_an_option_of_ones_own_may_not_hide_one_of_the_family():
    with pytest.raises(ValueError, match="All class activation maps have the option 'mask'; call that of 'masked'"):

        @mmcam.register_cam("masked", "a test")
        def masked(evidence, *, mask: bool = False):
            raise AssertionError

    assert "masked" not in METHODS


# Unknown options


@pytest.mark.parametrize("method", FAMILY)
def test_an_unknown_option_lists_those_there_are(method):
    net, layer, x = family_model(method)
    with pytest.raises(ExplainError, match=r"has no option 'unit'; its options are ") as error:
        attribute(net, x, [0], layer=layer, method=method, unit=[1])
    listed = str(error.value).rsplit("its options are ", 1)[1].partition(";")[0].rstrip(".").split(", ")
    assert set(listed) == set(METHODS[method].options)
    assert {"units", "mask", "counterfactual"} <= set(listed)
    assert ("relu_rule" in listed) == (method != "cam")


def test_options_of_one_member_are_not_taken_by_another():
    net, x = seeded(Ladder), small()
    for method, option in (("layercam", "relu"), ("gradcam", "normalise"), ("hirescam", "pooling"), ("cam", "relu")):
        with pytest.raises(ExplainError, match=f"Method '{method}' has no option '{option}'; its options are"):
            attribute(net, x, [0], layer="features", method=method, **{option: True})
    with pytest.raises(ExplainError, match=r"Method 'guided_backprop' has no option 'units'; it has none\."):
        attribute(net, x, [0], method="guided_backprop", units=[0])
