"""Smooth Grad-CAM++ and SmoothGrad against loops over the same noise, torchcam and captum."""

import captum.attr
import numpy as np
import pytest
import torch
import torchcam.methods
from tiny import LAYERS, Captioner, Deep, Gap, Stubborn, network, pictures, reference_evidence, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute

SMOOTH = "smooth_gradcam++"


class Ladder(nn.Module):
    """Convolutions, then a perceptron with ReLUs: the gradient differs between cells and between noisy copies."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2, padding=1))
        self.head = nn.Sequential(nn.Linear(4 * 3 * 5, 12), nn.ReLU(), nn.Linear(12, 5))

    def forward(self, x):
        return self.head(self.features(x).relu().flatten(1))


def small(n=2):
    """Pictures of unlike range, so that noise is seen to be scaled for each by its own."""
    x = torch.randn(n, 3, 6, 10, generator=torch.Generator().manual_seed(1))
    return x * torch.tensor([1.0, 4.0, 0.5, 2.0])[:n, None, None, None]


def noisy_copies(x, n, sigma, seed=0):
    """The documented noise: drawn on the CPU, one a copy for all pictures, times sigma × each picture's range."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.stack([sigma * (picture.max() - picture.min()) for picture in x])[:, None, None, None]
    return [x + spread * torch.randn(x[:1].shape, generator=generator) for _ in range(n)]


def close(got, expected, relative=1e-5):
    assert got.shape == expected.shape
    assert torch.isfinite(got).all()
    assert float((got - expected).abs().max()) <= relative * float(expected.abs().max())


def slopes(net, copies, target, layer="features"):
    """dS/dA of each noisy copy, (copies, N, K, h, w)."""
    return torch.stack([reference_evidence(net, layer, lambda: net(x)[:, target].sum())[1] for x in copies])  # noqa: B023


def literal(net, x, copies, target, numerator="second", normalise=True, neurons=None, sign=1):
    """Eqs. 5 to 8 with the mean derivatives over the copies and the clean picture's activations, in loops."""
    activations, _ = reference_evidence(net, "features", lambda: net(x)[:, target].sum())
    g = sign * slopes(net, copies, target).double().numpy()
    a = activations.double().numpy()
    pictures, channels, rows, columns = a.shape
    maps = np.zeros((pictures, rows, columns))
    weights = np.zeros((pictures, channels))
    for n in range(pictures):
        for k in range(channels):
            cells = [(i, j) for i in range(rows) for j in range(columns) if neurons is None or neurons[n, k, i, j]]
            whole = sum(a[n, k, i, j] for i, j in cells)
            shares, first = {}, {}
            for i, j in cells:
                d1, d2, d3 = (sum(copy[n, k, i, j] ** power for copy in g) / len(g) for power in (1, 2, 3))
                below = 2 * d2 + whole * d3
                shares[i, j] = (d1 if numerator == "first" else d2) / (below if below != 0 else 1)
                first[i, j] = max(d1, 0)
            total = sum(shares[cell] for cell in cells if first[cell] > 0)
            weights[n, k] = sum(shares[cell] * first[cell] for cell in cells)
            if normalise and total != 0:
                weights[n, k] /= total
            for i, j in cells:
                maps[n, i, j] += weights[n, k] * a[n, k, i, j]
    return torch.tensor(maps).float().relu(), torch.tensor(weights).float()


# Smooth Grad-CAM++


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_without_noise_it_is_grad_cam_plus_plus(n, normalise):
    net, x = seeded(Ladder), small(3)
    expected = attribute(net, x, [0, 3], method="gradcam++", normalise=normalise)
    assert (expected.flatten(2).amax(2) > 0).any(0).all()
    close(attribute(net, x, [0, 3], method=SMOOTH, n=n, sigma=0.0, normalise=normalise), expected)


@pytest.mark.parametrize("numerator", ["second", "first"])
@pytest.mark.parametrize("normalise", [True, False])
def test_it_is_the_papers_equation_over_the_same_noise(numerator, normalise):
    net, x = seeded(Ladder), small(3)
    options = {"n": 4, "sigma": 0.2, "seed": 7, "numerator": numerator, "normalise": normalise}
    maps = attribute(net, x, [0, 3], method=SMOOTH, **options)
    copies = noisy_copies(x, 4, 0.2, seed=7)
    for t, target in enumerate((0, 3)):
        expected, _ = literal(net, x, copies, target, numerator, normalise)
        assert expected.max() > 0
        close(maps[t], expected, 1e-4)
    other = attribute(net, x, [0, 3], method=SMOOTH, **options | {"numerator": "first", "normalise": not normalise})
    assert not torch.allclose(maps, other, rtol=0.01)


def test_its_defaults_are_five_copies_a_sigma_of_015_and_the_second_derivative():
    net, x = seeded(Ladder), small(2)
    expected, _ = literal(net, x, noisy_copies(x, 5, 0.15), 1)
    close(attribute(net, x, [1], method=SMOOTH)[0], expected, 1e-4)


@pytest.mark.parametrize("counterfactual", [False, True])
def test_neurons_and_the_sign_are_chosen_in_every_copy(counterfactual):
    net, x = seeded(Ladder), small(2)
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    mask[0, 1:, :3], mask[1, :2, 2:] = True, True
    neurons = torch.zeros(2, 4, 3, 5, dtype=torch.bool)
    neurons[:, [1, 2]] = mask[:, None]
    options = {"n": 3, "sigma": 0.2, "units": [1, 2], "mask": mask, "counterfactual": counterfactual}
    maps = attribute(net, x, [0, 2, 4], method=SMOOTH, **options)
    copies = noisy_copies(x, 3, 0.2)
    for t, target in enumerate((0, 2, 4)):
        expected, _ = literal(net, x, copies, target, neurons=neurons, sign=-1 if counterfactual else 1)
        close(maps[t], expected, 1e-4)
    assert maps.any()
    assert not maps[~mask.expand(3, -1, -1, -1)].any()


@pytest.mark.parametrize("rule", ["guided", "deconv"])
def test_relu_rules_reach_every_copy(rule):
    """Means of the derivatives of the copies, each of them as the rule gives it for that copy alone."""
    net, x = seeded(Ladder), small(2)
    each = []
    for copy in noisy_copies(x, 3, 0.2):
        a = net.features(copy).detach()
        hidden = net.head[0](a.relu().flatten(1))
        back = net.head[2].weight[1].expand(2, -1).relu() * (1.0 if rule == "deconv" else (hidden > 0))
        back = (back @ net.head[0].weight).view_as(a).relu() * (1.0 if rule == "deconv" else (a > 0))
        each.append(back.detach())
    first, second, third = (torch.stack([g**power for g in each]).mean(0) for power in (1, 2, 3))
    a = net.features(x).detach()
    below = 2 * second + a.sum((2, 3), keepdim=True) * third
    shares = torch.where(below == 0, second, second / below)
    total = (shares * (first > 0)).sum((2, 3), keepdim=True)
    weights = (shares / torch.where(total == 0, 1.0, total) * first).sum((2, 3))
    expected = torch.einsum("nk,nkhw->nhw", weights, a).relu()
    assert expected.max() > 0
    close(attribute(net, x, [1], method=SMOOTH, n=3, sigma=0.2, relu_rule=rule)[0], expected, 1e-4)


def test_weights_and_score_of_the_explanation():
    """The score is that of the clean picture; the weights multiply its activations."""
    net, x = seeded(Ladder), small(1)
    exp = mmcam.explain_class(net, x[0], 2, method=SMOOTH, n=3, sigma=0.3)
    _, weights = literal(net, x, noisy_copies(x, 3, 0.3), 2)
    close(exp.weights, weights[0], 1e-4)
    assert exp.score == pytest.approx(float(net(x)[0, 2].detach()))


class Average(nn.Module):
    """A perceptron behind a global pool: g is the same at every cell, but another one for every noisy copy.

    There torchcam's Σ A·D³ is the paper's ΣA·D³.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


class Recorded:
    """Hands out noise in order, in place of torchcam's distribution."""

    def __init__(self, noise):
        self.noise = iter(noise)

    def sample(self, size):
        noise = next(self.noise)
        assert noise.shape == size
        return noise


class CleanActivations(torchcam.methods.SmoothGradCAMpp):
    """torchcam's class as its own formula says: it keeps the activations of the last noisy copy instead."""

    def _get_weights(self, *args, **kwargs):
        clean = [activations.clone() for activations in self.hook_a]
        weights = super()._get_weights(*args, **kwargs)
        self.last = self.hook_a
        self.hook_a = clean
        return weights


def smooth_torchcam(kind, model, layer, x, copies, classes):
    scale = 1000.0  # of the scores, beside which the 1e-8 it adds to denominators does not show
    with kind(model, layer, num_samples=len(copies)) as peer:
        peer._distrib = Recorded([copy - x for copy in copies])
        model(x)
        (maps,) = peer(targets=[lambda out, c=c: scale * out[c] for c in classes], normalized=False)
        return maps.detach()


def ours(model, layer, x, classes, **options):
    def target(out):
        return 1000.0 * out.gather(1, torch.tensor(classes)[:, None])[:, 0]

    return attribute(model, x, [target], layer=layer, method=SMOOTH, normalise=False, **options)[0]


@pytest.mark.parametrize("name", ["hand-made", "resnet18"])
def test_torchcams_map_of_one_noisy_copy(name):
    model, layer, x = (
        (seeded(Average), "features", small(2))
        if name == "hand-made"
        else (network("resnet18"), LAYERS["resnet18"], pictures(2, 64))
    )
    copies = noisy_copies(x, 1, 0.3)
    expected = smooth_torchcam(CleanActivations, model, layer, x, copies, [3, 1])
    assert (expected.flatten(1).amax(1) > 0).all()
    close(ours(model, layer, x, [3, 1], n=1, sigma=0.3), expected, 1e-4)


def test_torchcam_takes_slope_and_activations_of_the_last_copy_only():
    """Its first derivative is that of the last copy and so are the A it weighs: this fails when that is mended."""
    model, x, classes = seeded(Average), small(2), [3, 1]
    copies = noisy_copies(x, 4, 0.3)
    g = 1000 * torch.stack([slopes(model, copies, c)[:, n] for n, c in enumerate(classes)], dim=1)
    a = model.features(x).detach()
    second, third = (g**2).mean(0), (g**3).mean(0)
    shares = second / (2 * second + a.sum((2, 3), keepdim=True) * third)

    def weighed(first, activations):
        return torch.einsum("nk,nkhw->nhw", (shares * first.relu()).sum((2, 3)), activations).relu()

    close(ours(model, "features", x, classes, n=4, sigma=0.3), weighed(g.mean(0), a), 1e-4)
    theirs = smooth_torchcam(CleanActivations, model, "features", x, copies, classes)
    close(theirs, weighed(g[-1], a), 1e-4)
    as_it_is = smooth_torchcam(torchcam.methods.SmoothGradCAMpp, model, "features", x, copies, classes)
    close(as_it_is, weighed(g[-1], model.features(copies[-1]).detach()), 1e-4)
    assert not torch.allclose(theirs, as_it_is, rtol=0.05)
    assert not torch.allclose(theirs, weighed(g.mean(0), a), rtol=0.05)


# SmoothGrad


@pytest.mark.parametrize("of", ["gradient", "gradient_x_input", "guided_backprop", "deconvnet", "guided_gradcam"])
def test_smoothgrad_without_noise_is_the_method_it_smooths(of):
    net, x = seeded(Ladder), small(3)
    expected = attribute(net, x, [0, 3], method=of)
    assert expected.any()
    close(attribute(net, x, [0, 3], method="smoothgrad", of=of, n=3, sigma=0.0), expected)


@pytest.mark.parametrize("of", ["gradient", "gradient_x_input", "guided_backprop", "deconvnet", "guided_gradcam"])
def test_smoothgrad_is_the_mean_over_the_same_noise(of):
    net, x = seeded(Ladder), small(3)
    maps = attribute(net, x, [0, 3], method="smoothgrad", of=of, n=5, sigma=0.2, seed=3)
    assert maps.shape == (2, 3, 3, 6, 10)
    total = 0.0
    for copy in noisy_copies(x, 5, 0.2, seed=3):
        total = total + attribute(net, copy, [0, 3], method=of)
    close(maps, total / 5)
    if of != "deconvnet":  # whose gates do not look at the picture
        assert not torch.allclose(maps, attribute(net, x, [0, 3], method=of), rtol=0.01)


def test_smoothgrads_defaults_are_fifty_copies_and_a_sigma_of_015():
    net, x = seeded(Ladder), small(2)
    gradients = []
    for copy in noisy_copies(x, 50, 0.15):
        copy.requires_grad_()
        gradients.append(torch.autograd.grad(net(copy)[:, 1].sum(), copy)[0])
    close(attribute(net, x, [1], method="smoothgrad")[0], sum(gradients) / 50)


def test_captums_noise_tunnel(monkeypatch):
    net, x, classes = seeded(Ladder), small(3), [3, 1, 0]
    copies = noisy_copies(x, 6, 0.25, seed=2)

    def recorded(mean, deviation):
        noise = torch.stack([copy - x for copy in copies], dim=1).flatten(0, 1)  # captum: copies of a picture together
        assert (mean, deviation.shape) == (0, noise.shape)
        return noise

    monkeypatch.setattr(torch, "normal", recorded)
    peer = captum.attr.NoiseTunnel(captum.attr.Saliency(net))
    expected = peer.attribute(x, nt_type="smoothgrad", nt_samples=6, stdevs=1.0, target=classes, abs=False)
    got = attribute(net, x, [torch.tensor(classes)], method="smoothgrad", n=6, sigma=0.25, seed=2)[0]
    close(got, expected.detach())


def test_smoothgrad_hands_further_options_on():
    net, x = seeded(Ladder), small(2)
    options = {"steps": 3, "baseline": 0.5}
    maps = attribute(net, x, [0], method="smoothgrad", of="integrated_gradients", n=4, sigma=0.2, **options)
    each = [attribute(net, c, [0], method="integrated_gradients", **options) for c in noisy_copies(x, 4, 0.2)]
    close(maps, sum(each) / 4)
    more = attribute(net, x, [0], method="smoothgrad", of="integrated_gradients", n=4, sigma=0.2, steps=8)
    assert not torch.allclose(maps, more, rtol=0.01)


def test_smoothgrad_of_a_method_without_that_option_says_so():
    net, x = seeded(Ladder), small(1)
    with pytest.raises(ExplainError, match=r"Method 'gradient' has no option 'steps'; it has none\."):
        attribute(net, x, [0], method="smoothgrad", n=2, steps=4)
    with pytest.raises(
        ExplainError, match="Method 'integrated_gradients' has no option 'stpes'; its options are steps"
    ):
        attribute(net, x, [0], method="smoothgrad", of="integrated_gradients", n=2, stpes=4)


@pytest.mark.parametrize("of", ["gradcam", "occlusion", "smooth_gradcam++", "smoothgrad"])
def test_smoothgrad_smooths_pixel_methods_only(of):
    with pytest.raises(ExplainError, match=f"smooths pixel methods, not '{of.replace('+', '.')}'") as error:
        attribute(seeded(Ladder), small(1), [0], method="smoothgrad", of=of, n=2)
    offered = str(error.value).rsplit("choose one of ", 1)[1].rstrip(".").split(", ")
    assert {"gradient", "integrated_gradients", "guided_backprop"} <= set(offered)
    assert all(mmcam.METHODS[name].pixels for name in offered)
    assert "smoothgrad" not in offered


def test_smoothgrad_of_an_unknown_method_names_the_closest():
    with pytest.raises(ExplainError, match=r"no method 'gradiant'; did you mean 'gradient'\?"):
        attribute(seeded(Ladder), small(1), [0], method="smoothgrad", of="gradiant")


# Both

BOTH = [(SMOOTH, {"n": 5}), ("smoothgrad", {"n": 5}), ("smoothgrad", {"n": 5, "of": "guided_backprop"})]
both = pytest.mark.parametrize(("method", "options"), BOTH, ids=[SMOOTH, "smoothgrad", "guided smoothgrad"])


@both
def test_how_many_go_through_the_model_at_a_time_changes_nothing(method, options):
    net, x = seeded(Ladder), small(3)
    expected = attribute(net, x, [0, 3], method=method, **options)
    seen = []
    handle = net.features.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    for rows in (1, 3, 6, 7, 1000):
        attribute(net, x, [0, 3], method=method, **options, rows=rows)  # the first call looks for the layer
        seen.clear()
        close(attribute(net, x, [0, 3], method=method, **options, rows=rows), expected)
        assert max(seen) <= max(rows, 3)
        assert max(seen) == min(15, max(rows // 3, 1) * 3), "the copies are not sent through in chunks of rows"
    handle.remove()


@pytest.mark.parametrize("rows", [0, -1])
@both
def test_no_rows_at_a_time_are_refused(method, options, rows):
    with pytest.raises(ExplainError, match=f"rows={rows} pictures at a time are none; pass at least 1"):
        attribute(seeded(Ladder), small(1), [0], method=method, rows=rows)


@both
def test_the_seed_decides_and_nothing_else(method, options):
    net, x = seeded(Ladder), small(2)
    torch.manual_seed(1)
    first = attribute(net, x, [0], method=method, **options, seed=4)
    torch.manual_seed(2)
    assert torch.equal(attribute(net, x, [0], method=method, **options, seed=4), first)
    assert not torch.allclose(attribute(net, x, [0], method=method, **options, seed=5), first, rtol=0.01)
    assert not torch.allclose(attribute(net, x, [0], method=method, **options, seed=4, sigma=0.3), first, rtol=0.01)


@both
def test_the_global_random_state_is_left_alone(method, options):
    net, x = seeded(Ladder), small(2)
    before = torch.get_rng_state()
    attribute(net, x, [0], method=method, **options)
    assert torch.equal(torch.get_rng_state(), before)


@both
def test_the_predicted_class_is_that_of_the_clean_picture(method, options):
    net, x = seeded(Ladder), small(4)
    clean = net(x).argmax(1)
    noisy = torch.stack([net(copy).argmax(1) for copy in noisy_copies(x, 5, 2.0)])
    assert ((noisy != clean).all(0)).any(), "some picture is another class in every noisy copy"
    assert (noisy != clean).any(0).all()
    asked = mmcam.explain_class(net, list(x), method=method, **options, sigma=2.0)
    told = mmcam.explain_class(net, list(x), clean.tolist(), method=method, **options, sigma=2.0)
    for n in range(4):
        assert asked[n].target == told[n].target == f"class {int(clean[n])}"
        assert asked[n].score == pytest.approx(float(net(x).detach()[n].max()))
        assert torch.equal(asked[n].values, told[n].values)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": -3}, {"n": 2, "sigma": -0.1}], ids=str)
@pytest.mark.parametrize("method", [SMOOTH, "smoothgrad"])
def test_no_copies_and_negative_noise_are_refused(method, wrong):
    sentence = rf"n={wrong['n']} copies with noise sigma={wrong.get('sigma', 0.15)} cannot be made; n is at least 1"
    with pytest.raises(ExplainError, match=sentence):
        attribute(seeded(Ladder), small(1), [0], method=method, **wrong)


def test_an_unknown_numerator_is_refused():
    with pytest.raises(ExplainError, match=r"There is no numerator 'third'; choose 'second' or 'first'\."):
        attribute(seeded(Ladder), small(1), [0], method=SMOOTH, numerator="third")


@both
def test_a_flat_picture_has_no_range_and_so_no_noise(method, options):
    net, x = seeded(Gap), torch.full((1, 3, 16, 16), 0.7)
    base = options.get("of", "gradient") if method == "smoothgrad" else "gradcam++"
    expected = attribute(net, x, [0], method=base)
    assert expected.any()
    close(attribute(net, x, [0], method=method, **options), expected)


# A language side behind the encoder


@pytest.mark.parametrize("build", [Captioner, Stubborn])
@pytest.mark.parametrize("contrast", [None, "cat"])
def test_words_of_a_caption_over_the_same_noise(build, contrast):
    """Copies multiply the text as well, twice where two words are compared."""
    net, x = seeded(build), pictures(1, 32)
    tokens = torch.tensor([net.encode("a dog runs on the grass")])
    swapped = torch.tensor([net.encode("a cat runs on the grass")])

    def score(p):
        said = net.token_log_probs(p, tokens)[0, 1]
        return said if contrast is None else said - net.token_log_probs(p, swapped)[0, 1]

    pixels = []
    for copy in noisy_copies(x, 4, 0.2):
        copy.requires_grad_()
        pixels.append(torch.autograd.grad(score(copy), copy)[0][0])
    asked = {"caption": "a dog runs on the grass", "contrast": contrast, "n": 4, "sigma": 0.2}
    for rows in (1, 3, 32):
        exp = mmcam.explain_caption(net, x[0], "dog", method="smoothgrad", **asked, rows=rows)
        close(exp.values, sum(pixels) / 4, 1e-4)
        assert exp.score == pytest.approx(float(score(x).detach()), abs=1e-5)
    alone = [mmcam.explain_caption(net, x[0], "dog", method=SMOOTH, **asked, rows=rows).values for rows in (1, 3, 32)]
    assert alone[0].any()
    close(alone[1], alone[0])
    close(alone[2], alone[0])
    still = mmcam.explain_caption(net, x[0], "dog", method=SMOOTH, **asked | {"sigma": 0.0}).values
    close(still, mmcam.explain_caption(net, x[0], "dog", method="gradcam++", **without_noise(asked)).values, 1e-4)


def without_noise(options):
    return {name: value for name, value in options.items() if name not in ("n", "sigma")}


@pytest.mark.parametrize("method", ["smoothgrad", "smooth_gradcam++"])
def test_a_pictures_map_does_not_depend_on_its_neighbours(method):
    net, x = seeded(Deep), pictures(3)
    together = attribute(net, x, [1], method=method, n=3)
    alone = torch.cat([attribute(net, x[n : n + 1], [1], method=method, n=3) for n in range(3)], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["smoothgrad", "smooth_gradcam++"])
@pytest.mark.parametrize("sigma", [float("nan"), float("inf")])
def test_noise_that_is_no_number_is_refused(method, sigma):
    with pytest.raises(ExplainError, match="cannot be made; n is at least 1, sigma at least 0"):
        attribute(seeded(Deep), pictures(1), [1], method=method, sigma=sigma)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients", "gradient", "smoothgrad"])
def test_maps_of_pictures_that_need_gradients_have_none(method):
    x = pictures(1).requires_grad_()
    assert not attribute(
        seeded(Deep), x, [1], method=method, **({"n": 2} if method == "smoothgrad" else {})
    ).requires_grad
