"""Gradients at the pixels under every rule, and their integral, against captum, closed forms and backward by hand."""

import warnings

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relus import Net, by_hand, with_relu_modules
from state import State
from tiny import LAYERS, VQA, Captioner, Deep, Gap, Stubborn, network, pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute, explain_answer, explain_caption, explain_class

CLASSES = [3, 1]
PLAIN = ("gradient", "gradient_x_input", "integrated_gradients")
RULED = ("guided_backprop", "deconvnet", "guided_gradcam", "deconv_gradcam")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's, about hooks it sets
        yield


def close(got, expected, relative=1e-4):
    assert got.shape == expected.shape
    assert expected.abs().max() > 0, "two empty maps agree"
    assert float((got - expected).abs().max()) <= relative * float(expected.abs().max())


def plain(score, x):
    """dS/dI of a scalar by ordinary backpropagation."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(score(x), x)[0]


# --- captum -----------------------------------------------------------------------------------------------------------


def small(name):
    """A network without a large head, and the pictures it takes."""
    return (seeded(Deep), pictures(2, 16)) if name == "perceptron" else (network(name), pictures(2, 64))


@pytest.mark.parametrize("name", ["perceptron", "resnet18", "mobilenet_v2"])
def test_captums_saliency_and_input_times_gradient(name):
    model, x = small(name)
    got = attribute(model, x, [torch.tensor(CLASSES), 0], method="gradient")
    peer = captum.attr.Saliency(model)
    close(got[0], peer.attribute(x.clone().requires_grad_(), CLASSES, abs=False).detach())
    close(got[1], peer.attribute(x.clone().requires_grad_(), 0, abs=False).detach())
    times = attribute(model, x, [torch.tensor(CLASSES)], method="gradient_x_input")[0]
    close(times, captum.attr.InputXGradient(model).attribute(x.clone().requires_grad_(), CLASSES).detach())


@pytest.mark.parametrize(("name", "steps", "baseline"), [
    ("perceptron", 50, 0.0), ("perceptron", 7, -0.8), ("perceptron", 1, 0.3), ("resnet18", 6, 0.0),
    ("mobilenet_v2", 5, 0.5),
])  # fmt: skip
def test_captums_integrated_gradients(name, steps, baseline):
    model, x = small(name)
    got = attribute(
        model, x, [torch.tensor(CLASSES)], method="integrated_gradients", steps=steps, baseline=baseline, rows=4
    )
    peer = captum.attr.IntegratedGradients(model)
    expected = peer.attribute(x, baseline, CLASSES, n_steps=steps, method="gausslegendre", internal_batch_size=4)
    close(got[0], expected.float().detach(), 1e-3)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121"])
def test_captums_deconvolution(name):
    """captum sees nn.ReLU modules only, so it is given a copy that has no other; ours sees the network as it is."""
    x = pictures(1, 64)
    copied = with_relu_modules(name)
    expected = captum.attr.Deconvolution(copied).attribute(x.clone().requires_grad_(), 3).detach()
    close(attribute(copied, x, [3], method="deconvnet")[0], expected)
    close(attribute(network(name), x, [3], method="deconvnet")[0], expected)
    gradient, guided = (attribute(copied, x, [3], method=method)[0] for method in ("gradient", "guided_backprop"))
    for other in (gradient, guided):
        assert float((other - expected).abs().max()) > 0.1 * float(expected.abs().max())


def test_captums_deconvolution_does_not_see_googlenets_functional_relus():
    """Its answer on the network as torchvision makes it is the plain gradient, without a word."""
    model, x = network("googlenet"), pictures(1, 64)
    silent = captum.attr.Deconvolution(model).attribute(x.clone().requires_grad_(), 3).detach()
    close(silent, attribute(model, x, [3], method="gradient")[0])
    ours = attribute(model, x, [3], method="deconvnet")[0]
    assert float((silent - ours).abs().max()) > 0.1 * float(ours.abs().max())


# --- closed forms and properties --------------------------------------------------------------------------------------


class Power(nn.Module):
    """S = Σ v x^p."""

    def __init__(self, power):
        super().__init__()
        self.power = power
        self.v = nn.Parameter(torch.randn(2, 3, 5, 6))

    def forward(self, x):
        return torch.einsum("nchw,kchw->nk", x**self.power, self.v)


@settings(max_examples=30, deadline=None)
@given(
    power=st.integers(1, 6), extra=st.integers(0, 3), baseline=st.floats(-1.5, 1.5), rows=st.integers(1, 9),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_the_integral_of_a_polynomial_is_exact(power, extra, baseline, rows, seed):
    """Gauss–Legendre with n points is exact to degree 2n − 1: each pixel gets v (x^p − b^p); one point for a line."""
    net = seeded(Power, power, seed=seed).double()
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(seed)).double()
    steps = max(1, -(-power // 2)) + extra
    got = attribute(net, x, [0, 1], method="integrated_gradients", steps=steps, baseline=baseline, rows=rows)
    expected = net.v.detach()[:, None] * (x**power - baseline**power)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_too_few_points_are_not_exact():
    net, x = seeded(Power, 4).double(), pictures()[:, :, :5, :6].double()
    one, two = (attribute(net, x, [0], method="integrated_gradients", steps=steps)[0] for steps in (1, 2))
    expected = net.v[0].detach() * x**4
    torch.testing.assert_close(two, expected)
    assert float((one - expected).abs().max()) > 0.1


def test_on_a_linear_net_all_three_are_the_weights():
    net, x = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))), pictures(2, 8)
    v = net[1].weight.detach().view(4, 3, 8, 8)
    close(attribute(net, x, [2], method="gradient")[0], v[2].expand_as(x), 1e-6)
    close(attribute(net, x, [2], method="gradient_x_input")[0], v[2] * x, 1e-6)
    close(attribute(net, x, [2], method="integrated_gradients", steps=1)[0], v[2] * x, 1e-6)
    got = attribute(net, x, [2], method="integrated_gradients", steps=3, baseline=-0.5)[0]
    close(got, v[2] * (x + 0.5), 1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), baseline=st.floats(-1, 1), rows=st.integers(1, 70),
    targets=st.lists(st.integers(0, 4), min_size=1, max_size=3),
)  # fmt: skip
def test_integrated_gradients_sum_to_the_difference_of_the_scores(seed, baseline, rows, targets):
    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.fc = nn.Conv2d(3, 5, 3, 2), nn.Linear(5 * 9, 5)

        def forward(self, x):
            return self.fc(torch.tanh(self.features(x)).flatten(1)).sin()

    net = seeded(Smooth, seed=seed).double()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).double()
    got = attribute(net, x, targets, method="integrated_gradients", steps=40, baseline=baseline, rows=rows)
    with torch.no_grad():
        difference = net(x) - net(torch.full_like(x, baseline))
    torch.testing.assert_close(got.sum((2, 3, 4)), difference[:, targets].T, rtol=0, atol=1e-6)


def test_integrated_gradients_of_a_relu_net_nearly_sum_to_the_difference():
    """A kinked integrand converges slowly; captum's rule is the same."""
    net, x = seeded(Gap).double(), pictures().double()
    with torch.no_grad():
        difference = (net(x) - net(torch.zeros_like(x)))[:, [0, 4]].T
    errors = []
    for steps in (5, 50, 500):
        got = attribute(net, x, [0, 4], method="integrated_gradients", steps=steps)
        errors.append(float((got.sum((2, 3, 4)) - difference).abs().max() / difference.abs().max()))
    assert errors[2] < 1e-3
    assert errors[2] < errors[0]


def test_no_steps_are_refused():
    for steps in (0, -3):
        with pytest.raises(ExplainError, match=f"steps={steps} points is none"):
            attribute(seeded(Gap), pictures(), [0], method="integrated_gradients", steps=steps)
    with pytest.raises(ExplainError, match="rows=0"):
        attribute(seeded(Gap), pictures(), [0], method="integrated_gradients", rows=0)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_rows_change_nothing_but_memory(rows, n):
    net, x = seeded(Deep), pictures(n)
    expected = attribute(net, x, [0, 1], method="integrated_gradients", steps=11)
    sizes = []
    net.features[0].register_forward_pre_hook(lambda m, i: sizes.append(len(i[0])))
    close(attribute(net, x, [0, 1], method="integrated_gradients", steps=11, rows=rows), expected)
    assert max(sizes) <= max(rows, n)
    assert max(sizes) == {1: n, 4: 4 // n * n, 1000: 11 * n}[rows], "and no fewer than fit"


@pytest.mark.parametrize("method", ["guided", "deconv"])
@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v2"])
def test_a_product_with_grad_cam_is_the_upsampled_map_times_the_pixels(name, method):
    """The map's half is the plain Grad-CAM, whatever the rule of the other half."""
    model, x = network(name), pictures(2, 64)
    cams = attribute(model, x, [0, 3], layer=LAYERS[name])
    up = F.interpolate(cams, (64, 64), mode="bilinear", align_corners=False)
    pixels = attribute(model, x, [0, 3], method={"guided": "guided_backprop", "deconv": "deconvnet"}[method])
    close(attribute(model, x, [0, 3], layer=LAYERS[name], method=f"{method}_gradcam"), up[:, :, None] * pixels)


# --- every spelling of a ReLU -----------------------------------------------------------------------------------------

FORMS = {
    "torch.clamp(x, 0)": lambda x: torch.clamp(x, 0),
    "torch.clamp(x, min=0)": lambda x: torch.clamp(x, min=0),
    "torch.clamp(input=)": lambda x: torch.clamp(input=x, min=0.0),
    "Tensor.clamp(0)": lambda x: x.clamp(0),
    "Tensor.clamp(min=0)": lambda x: x.clamp(min=0),
    "Tensor.clamp(0, None)": lambda x: x.clamp(0, None),
    "Tensor.clamp_(min=0)": lambda x: x.clamp_(min=0),
    "torch.clamp_": lambda x: torch.clamp_(x, min=0),
    "Tensor.clamp_min": lambda x: x.clamp_min(0),
    "Tensor.clamp_min(min=)": lambda x: x.clamp_min(min=0),
    "Tensor.clamp_min_": lambda x: x.clamp_min_(0.0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, 0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "Tensor.clip": lambda x: x.clip(0),
    "Tensor.clip_": lambda x: x.clip_(min=0),
    "torch.clip": lambda x: torch.clip(x, min=0),
    "torch.clip_": lambda x: torch.clip_(x, 0),
    "F.threshold(x, 0, 0)": lambda x: F.threshold(x, 0, 0),
    "F.threshold(x, 0, 0, True)": lambda x: F.threshold(x, 0.0, 0.0, True),
    "F.threshold(threshold=, value=)": lambda x: F.threshold(x, threshold=0, value=0),
    "F.threshold_": lambda x: F.threshold_(x, 0, 0),
    "torch.threshold": lambda x: torch.threshold(x, 0, 0),
    "nn.Threshold(0, 0)": nn.Threshold(0, 0),
    "nn.Threshold(0, 0, inplace=True)": nn.Threshold(0, 0, inplace=True),
    "nn.Hardtanh(0, inf)": nn.Hardtanh(0, float("inf")),
}
CLIPPED = {
    "torch.clamp(x, 0, 6)": lambda x: torch.clamp(x, 0, 6),
    "torch.clamp_(x, 0, 6)": lambda x: torch.clamp_(x, 0, 6),
    "Tensor.clamp(0, 6)": lambda x: x.clamp(0, 6),
    "Tensor.clamp(max=6, min=0)": lambda x: x.clamp(max=6.0, min=0.0),
    "Tensor.clamp_(0, 6)": lambda x: x.clamp_(0, 6),
    "Tensor.clip(0, 6)": lambda x: x.clip(0, 6),
    "torch.clip_": lambda x: torch.clip_(x, min=0, max=6),
    "nn.Hardtanh(0, 6)": nn.Hardtanh(0, 6),
    "nn.Hardtanh(0, 6, inplace=True)": nn.Hardtanh(0, 6, inplace=True),
}


@pytest.mark.parametrize(
    ("method", "rule"), [("guided_backprop", "guided"), ("deconvnet", "deconv"), ("gradient", "plain")]
)
@pytest.mark.parametrize("name", [*FORMS, *CLIPPED])
def test_clamps_and_thresholds_at_zero_are_relus(name, method, rule):
    """Against a backward pass written by hand; the plain gradient shows that the forms compute what they say."""
    net, x = seeded(Net, (FORMS | CLIPPED)[name]), pictures(2, 8)
    got = attribute(net, x, [0, 2], method=method)
    for t, target in enumerate((0, 2)):
        expected = by_hand(net, x, target, rule, 6.0 if name in CLIPPED else float("inf"))
        torch.testing.assert_close(got[t], expected, rtol=1e-4, atol=1e-6)


ELSEWHERE = {
    "clamp(min=0.1)": lambda x: x.clamp(min=0.1),
    "clamp(0.1, 6)": lambda x: torch.clamp(x, 0.1, 6),
    "clamp(-1, 1)": lambda x: x.clamp(-1, 1),
    "clamp(max=1)": lambda x: x.clamp(max=1),
    "clamp(None, 0)": lambda x: x.clamp(None, 0),
    "clamp_max(0)": lambda x: x.clamp_max(0),
    "clamp_min(-0.5)": lambda x: x.clamp_min(-0.5),
    "clip_(-0.2)": lambda x: x.clip_(-0.2),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.zeros(x.shape[1:])),
    "clamp_min(tensor)": lambda x: x.clamp_min(torch.tensor(0.0)),
    "clamp(0, tensor)": lambda x: x.clamp(torch.zeros(()), torch.full((), 6.0)),
    "threshold(0.1, 0)": lambda x: F.threshold(x, 0.1, 0),
    "threshold(0, 0.1)": lambda x: F.threshold(x, 0, 0.1),
    "threshold(-1, 0)": lambda x: F.threshold(x, -1, 0),
    "nn.Threshold(0, 20)": nn.Threshold(0, 20),
    "hardtanh": F.hardtanh,
    "hardtanh(-1, 6)": lambda x: F.hardtanh(x, -1, 6),
}


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "gradient"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_clamps_elsewhere_keep_their_derivative(name, method):
    net, x = seeded(Net, ELSEWHERE[name]), pictures(2, 8)
    close(attribute(net, x, [1], method=method)[0], plain(lambda y: net(y)[:, 1].sum(), x), 1e-5)


SMOOTH = (nn.GELU(), nn.SiLU(), nn.Mish(), nn.ELU(), nn.SELU(), nn.LeakyReLU(), nn.PReLU(), nn.Hardswish(),
          nn.Softplus(), F.leaky_relu_, torch.celu)  # fmt: skip


@pytest.mark.parametrize("activation", SMOOTH, ids=lambda a: getattr(a, "__name__", type(a).__name__))
def test_smooth_activations_are_refused_by_rules_and_taken_by_gradients(activation):
    net, x = seeded(Net, activation).double(), pictures(1, 8).double()
    for method in RULED:
        with pytest.raises(ExplainError, match=r"defined for ReLU networks, and this one uses \w+; .*gradcam"):
            attribute(net, x, [0], layer="second", method=method)
    expected = plain(lambda y: net(y)[:, 0].sum(), x)
    close(attribute(net, x, [0], method="gradient")[0], expected, 1e-9)
    close(attribute(net, x, [0], method="gradient_x_input")[0], expected * x, 1e-9)
    integrated = attribute(net, x, [0], method="integrated_gradients", steps=200)[0]
    difference = net(x)[0, 0].item() - net(torch.zeros_like(x))[0, 0].item()
    assert float(integrated.sum()) == pytest.approx(difference, rel=2e-2)


# --- words and answers ------------------------------------------------------------------------------------------------

CAPTION = "a dog runs on the grass"


def said(model, x, caption, places):
    return model.token_log_probs(x, torch.tensor([model.encode(caption)] * len(x)))[:, places].sum(1)


class Word(nn.Module):
    """A captioner as a classifier of one class, for libraries that know no other models."""

    def __init__(self, model, caption, places, other=None, minus=None):
        super().__init__()
        self.model, self.asked = model, (caption, places, other, minus)

    def forward(self, x):
        caption, places, other, minus = self.asked
        score = said(self.model, x, caption, places)
        return (score if other is None else score - said(self.model, x, other, minus))[:, None]


ASKED = {
    "a word": ("dog", None, (CAPTION, [1])),
    "a phrase": ("on the grass", None, (CAPTION, [3, 4, 5])),
    "a contrast": ("dog", "cat", (CAPTION, [1], "a cat runs on the grass", [1])),
    "a longer contrast": ("grass", "big tree", (CAPTION, [5], "a dog runs on the big tree", [5, 6])),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("kind", [Captioner, Stubborn])
def test_the_gradient_of_a_word_is_that_of_its_log_probability(kind, name):
    model, x = seeded(kind).double(), pictures(2, 32).double()
    word, contrast, parts = ASKED[name]
    expected = plain(lambda y: Word(model, *parts)(y).sum(), x)
    for method, wanted in (("gradient", expected), ("gradient_x_input", expected * x)):
        made = explain_caption(model, list(x), word, caption=CAPTION, contrast=contrast, method=method)
        for n, exp in enumerate(made):
            close(exp.values, wanted[n], 1e-9)
            assert exp.score == pytest.approx(float(Word(model, *parts)(x)[n, 0]))


def test_the_gradients_of_all_words_and_of_the_whole():
    model, x = seeded(Captioner).double(), pictures(1, 32).double()
    (made,) = explain_caption(model, list(x), method="gradient")
    for i, exp in enumerate(made):
        close(exp.values, plain(lambda y, i=i: said(model, y, CAPTION, [i]).sum(), x)[0], 1e-9)
    close(made.whole.values, plain(lambda y: said(model, y, CAPTION, list(range(6))).sum(), x)[0], 1e-9)


@pytest.mark.parametrize("name", ["a word", "a longer contrast"])
@pytest.mark.parametrize("rows", [2, 32])
def test_captums_integrated_gradients_of_a_word(name, rows):
    model, x = seeded(Captioner).double(), pictures(2, 32).double()
    word, contrast, parts = ASKED[name]
    options = {"method": "integrated_gradients", "steps": 9, "baseline": 0.2, "rows": rows}
    made = explain_caption(model, list(x), word, caption=CAPTION, contrast=contrast, **options)
    peer = captum.attr.IntegratedGradients(Word(model, *parts))
    expected = peer.attribute(x, 0.2, 0, n_steps=9, method="gausslegendre").detach()
    for exp, values in zip(made, expected, strict=True):
        close(exp.values, values, 1e-6)


@pytest.mark.parametrize(("method", "peer"), [
    ("guided_backprop", captum.attr.GuidedBackprop), ("deconvnet", captum.attr.Deconvolution),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a word", "a phrase"])
def test_captums_rules_for_a_word(name, method, peer):
    """The encoder's ReLUs are modules, so captum sees them; the language side's gates have no rule on either side."""
    model, x = seeded(Captioner), pictures(2, 32)
    word, _, parts = ASKED[name]
    expected = peer(Word(model, *parts)).attribute(x.clone().requires_grad_(), 0).detach()
    for exp, values in zip(
        explain_caption(model, list(x), word, caption=CAPTION, method=method), expected, strict=True
    ):
        close(exp.values, values)


@pytest.mark.parametrize(("answer", "against"), [("no", None), (None, None), ("red", "two")])
def test_the_gradient_of_an_answer_is_that_of_its_score(answer, against):
    model, x = seeded(VQA).double(), pictures(2, 32).double()
    questions = ["is it on the grass", "what colour"]
    scores = model.answer_scores(x, questions)
    chosen = scores.argmax(1) if answer is None else torch.full((2,), model.answers.index(answer))

    def score(y):
        scores = model.answer_scores(y, questions)
        found = scores.gather(1, chosen[:, None]).sum()
        return found if against is None else found - scores[:, model.answers.index(against)].sum()

    expected = plain(score, x)
    for method, wanted in (("gradient", expected), ("gradient_x_input", expected * x)):
        made = explain_answer(model, list(x), questions, answer, contrast=against, method=method)
        for n, exp in enumerate(made):
            close(exp.values, wanted[n], 1e-9)
    made = explain_answer(model, list(x), questions, answer, contrast=against, method="integrated_gradients", steps=300)
    blank = model.answer_scores(torch.zeros_like(x), questions)
    for n, exp in enumerate(made):
        less = blank[n, chosen[n]] - (0 if against is None else blank[n, model.answers.index(against)])
        assert float(exp.values.sum()) == pytest.approx(exp.score - float(less), rel=1e-2)


# --- many pictures and targets, and the model afterwards --------------------------------------------------------------


@pytest.mark.parametrize("method", [*PLAIN, "deconvnet", "deconv_gradcam"])
def test_pictures_and_targets_do_not_mix(method):
    net, x = seeded(Net, F.relu), pictures(3, 8)
    targets = [0, torch.tensor([2, 1, 0]), lambda out: out[:, 1] - out[:, 2]]
    together = attribute(net, x, targets, layer="second", method=method)
    assert together.shape == (3, 3, 3, 8, 8)
    for t, target in enumerate(targets):
        for n in range(3):
            one = target[n : n + 1] if isinstance(target, torch.Tensor) else target
            close(together[t, n], attribute(net, x[n : n + 1], [one], layer="second", method=method)[0, 0])


def test_the_default_target_is_the_class_of_the_clean_picture():
    """Though a blank picture is taken for another."""
    net, x = seeded(Deep), pictures(3)
    with torch.no_grad():
        net.head[2].bias.sub_(net(torch.zeros_like(x[:1]))[0])
        net.head[2].bias[4] += 0.05
    predicted = net(x).argmax(1).tolist()
    blank = net(torch.zeros_like(x[:1])).argmax().item()
    assert any(wanted != blank for wanted in predicted), "the test would not notice"
    made = explain_class(net, x, method="integrated_gradients", steps=8, rows=2)
    for n, exp in enumerate(made):
        expected = explain_class(net, x[n], predicted[n], method="integrated_gradients", steps=8)
        assert exp.target == f"class {predicted[n]}"
        close(exp.values, expected.values)
        assert exp.score == pytest.approx(expected.score, rel=1e-4)


class Noisy(Net):
    """With everything a forward pass may change."""

    def __init__(self):
        super().__init__(nn.ReLU(inplace=True))
        self.norm, self.dropout = nn.BatchNorm2d(3), nn.Dropout(0.5)

    def forward(self, x):
        torch.rand(2)
        return self.dropout(super().forward(self.norm(x)))


@pytest.mark.parametrize("where", ["nowhere", "target", "head", "backward"])
@pytest.mark.parametrize("method", [*PLAIN, "deconvnet", "deconv_gradcam"])
def test_a_model_is_left_as_found(method, where):
    class BrokenError(Exception):
        pass

    def fail(*_):
        raise BrokenError

    def fail_backward(out):
        score = out[:, 0] * 1
        if score.requires_grad:
            score.register_hook(fail)
        return score

    net, x = seeded(Noisy).train(), pictures(2, 8)
    net.norm.eval()
    net.fc.weight.requires_grad_(False)
    net.fc.bias.grad = torch.ones_like(net.fc.bias)
    before = x.clone()
    handle = net.dropout.register_forward_hook(fail) if where == "head" else None
    state = State(net)
    target = {"target": fail, "backward": fail_backward}.get(where, 0)
    if where == "nowhere":
        attribute(net, x, [0, 1], layer="second", method=method)
    else:
        # what a user's own target raises is told in a sentence, as its cause
        with pytest.raises(ExplainError if where == "target" else BrokenError) as told:
            attribute(net, x, [target], layer="second", method=method)
        assert isinstance(told.value.__cause__ if where == "target" else told.value, BrokenError)
    state.check()
    assert torch.equal(x, before)
    assert x.grad is None
    if handle:
        handle.remove()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", [*PLAIN, "deconvnet"])
def test_callers_without_gradients_get_the_same_maps(method, mode):
    net = seeded(Net, F.relu)
    expected = attribute(net, pictures(2, 8), [0, 1], method=method)
    with mode():
        close(attribute(net, pictures(2, 8), [0, 1], method=method), expected, 1e-6)


def test_the_picture_of_a_pixel_map_is_the_largest_magnitude_over_the_channels():
    """Simonyan et al., section 3.1."""
    net, x = seeded(Deep), pictures(1)
    exp = explain_class(net, x[0], 2, method="gradient")
    expected = attribute(net, x, [2], method="gradient")[0, 0].abs().amax(0)
    np.testing.assert_allclose(exp.cam, expected.numpy(), rtol=1e-4, atol=1e-7)
