"""Occlusion, RISE, Score-CAM and Ablation-CAM against loops of single calls, closed forms and other libraries."""

import contextlib
import io
import warnings

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import scipy.stats
import torch
import torchcam.methods
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from state import State
from tiny import (
    VQA,
    Captioner,
    CountsRows,
    Deep,
    Gap,
    LosesRows,
    Stubborn,
    network,
    pictures,
    plain_tap,
    seeded,
    upsampled,
)
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute, explain_answer, explain_caption, explain_class
from mmcam.methods.perturbation import random_mask

PERTURBATION = ("occlusion", "rise", "scorecam", "ablationcam")
OPTIONS = {"occlusion": {"patch": 6, "stride": 4}, "rise": {"n": 24, "cells": 4}, "scorecam": {}, "ablationcam": {}}


def same(got, expected, relative=1e-4):
    assert expected.abs().max() > 0, "two empty maps agree"
    torch.testing.assert_close(got, expected, rtol=0, atol=relative * float(expected.abs().max()))


# --- every method once more, one picture and one call of the model at a time ------------------------------------------
# `score` turns one picture (1,C,H,W) into a number; S_k of Ablation-CAM needs the model's layer too.


def literal_occlusion(score, x, patch, stride, fill=0.0):
    falls, covered = np.zeros(x.shape[-2:]), np.zeros(x.shape[-2:])
    full, top = score(x), 0
    while True:
        left = 0
        while True:
            y = x.clone()
            y[:, :, top : top + patch, left : left + patch] = fill
            falls[top : top + patch, left : left + patch] += full - score(y)
            covered[top : top + patch, left : left + patch] += 1
            if left + patch >= x.shape[-1]:
                break
            left += stride
        if top + patch >= x.shape[-2]:
            break
        top += stride
    return torch.from_numpy(falls / covered).float()


def literal_rise(score, x, n, cells=7, share=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = [random_mask(*x.shape[-2:], cells, share, generator) for _ in range(n)]
    scores = [score(x * mask) for mask in masks]
    seen = sum(s * mask.double() for s, mask in zip(scores, masks, strict=True)) / sum(masks).double()
    return (seen - sum(scores) / n).float()


def activations(run, model, layer, call=0):
    with torch.no_grad(), plain_tap(model, layer, call) as kept:
        run()
    return kept[0].detach()[0]


def literal_scorecam(score, x, a, units=None):
    units = list(range(len(a))) if units is None else units
    scores = []
    for k in units:
        up = upsampled(a[k], x.shape[-2:])
        flat = a[k].max() == a[k].min()
        scores.append(score(x * (torch.zeros_like(up) if flat else (up - up.min()) / (up.max() - up.min()))))
    weights = torch.tensor(scores).exp() / torch.tensor(scores).exp().sum()
    return sum(w * a[k] for w, k in zip(weights, units, strict=True)).relu()


@contextlib.contextmanager
def removed(model, layer, unit, where=1.0, call=0):
    """Without a channel of a layer, everywhere or where a mask is 1."""
    calls = iter(range(1000))

    def hook(module, inputs, output):
        if next(calls) != call:
            return None
        first = output[0] if isinstance(output, tuple) else output
        without = first.clone()
        without[:, unit] *= 1 - where
        return (without, *output[1:]) if isinstance(output, tuple) else without

    handle = model.get_submodule(layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def literal_ablationcam(score, x, a, model, layer, units=None, where=1.0, call=0):
    full, total = score(x), 0
    for k in range(len(a)) if units is None else units:
        with removed(model, layer, k, where, call):
            total = total + (full - score(x)) / abs(full) * a[k] * where
    return total.relu()


def literal(method, score, x, model, layer, **options):
    with torch.no_grad():
        if method == "occlusion":
            return literal_occlusion(score, x, **options)
        if method == "rise":
            return literal_rise(score, x, **options)
        a = activations(lambda: score(x), model, layer)
        if method == "scorecam":
            return literal_scorecam(score, x, a, **options).float()
        return literal_ablationcam(score, x, a, model, layer, **options).float()


class Strided(nn.Module):
    """Few channels and a layer smaller than the picture."""

    def __init__(self, channels=5, classes=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Linear(channels * 9, 8), nn.Tanh(), nn.Linear(8, classes))

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.features(x), 3).flatten(1))


@pytest.mark.parametrize("rows", [1, 5, 32])
@pytest.mark.parametrize("method", PERTURBATION)
def test_classes_equal_one_call_of_the_model_at_a_time(method, rows):
    net, x = seeded(Strided).double(), pictures(2, 16).double()
    targets = [0, torch.tensor([3, 1]), lambda out: out[:, 0] - out[:, 2]]
    got = attribute(net, x, targets, layer="features", method=method, rows=rows, **OPTIONS[method])
    for n in range(2):
        for t, score in enumerate([lambda out: out[:, 0], lambda out, n=n: out[:, (3, 1)[n]], targets[2]]):
            expected = literal(
                method, lambda y, s=score: s(net(y)).item(), x[n : n + 1], net, "features", **OPTIONS[method]
            )
            if expected.abs().max() == 0:
                assert got[t, n].abs().max() == 0
            else:
                same(got[t, n].float(), expected, 1e-5)
    assert (got.flatten(2).abs().amax(2) > 0).sum() >= 4


@pytest.mark.parametrize("method", ["scorecam", "ablationcam"])
def test_a_signed_layer_is_cut_at_zero_after_its_channels_are_added(method):
    net, x = seeded(Strided).double(), pictures(2, 16).double()
    got = attribute(net, x, [0, 1, 2, 3], layer="features.2", method=method)
    for n in range(2):
        with torch.no_grad():
            a = net.features[:3](x[n : n + 1])[0]
        for t in range(4):
            expected = literal(method, lambda y, t=t: net(y)[0, t].item(), x[n : n + 1], net, "features.2")
            torch.testing.assert_close(got[t, n].float(), expected, rtol=0, atol=1e-5 * float(a.abs().max()))
    assert (got == 0).any()
    assert got.max() > 0


WORDS = {
    "a word": (CAPTION := "a dog runs on the grass", [1], None, None),
    "a phrase": (CAPTION, [3, 4, 5], None, None),
    "a contrast": (CAPTION, [1], "a cat runs on the grass", [1]),
    "a longer contrast": (CAPTION, [5], "a dog runs on the big tree", [5, 6]),
}


def word_score(model, caption, places, other, minus):
    def score(y):
        found = model.token_log_probs(y, torch.tensor([model.encode(caption)]))[0, places].sum()
        if other is not None:
            found = found - model.token_log_probs(y, torch.tensor([model.encode(other)]))[0, minus].sum()
        return found.item()

    return score


def asked(model, images, name, method, **options):
    caption, places, other, minus = WORDS[name]
    word = " ".join(caption.split()[p] for p in places)
    contrast = None if other is None else " ".join(other.split()[p] for p in minus)
    return explain_caption(model, images, word, caption=caption, contrast=contrast, method=method, **options)


@pytest.mark.parametrize("kind", [Captioner, Stubborn])
@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("method", PERTURBATION)
def test_words_equal_one_call_of_the_captioner_at_a_time(method, name, kind):
    """Log-probabilities are negative, and Ablation-CAM divides by their size.

    `Stubborn` refuses rows added behind its encoder, so there the encoder runs for each.
    """
    options = {"patch": 16, "stride": 9} if method == "occlusion" else OPTIONS[method]
    model, x = seeded(kind).double(), pictures(2, 32).double()
    made = asked(model, list(x), name, method, **options)
    for exp, y in zip(made, x, strict=True):
        if method == "ablationcam" and WORDS[name][2]:  # the literal loop taps one call of the encoder, a contrast two
            continue
        score = word_score(model, *WORDS[name])
        same(exp.values.float(), literal(method, score, y[None], model, "encoder", **options), 1e-5)
        assert exp.score == pytest.approx(score(y[None]), abs=1e-4)


@pytest.mark.parametrize("kind", [Captioner, Stubborn])
def test_an_ablated_contrast_ablates_the_channel_for_both_captions(kind):
    model, x = seeded(kind).double(), pictures(1, 32).double()
    caption, places, other, minus = WORDS["a longer contrast"]
    plus, less = word_score(model, caption, places, None, None), word_score(model, other, minus, None, None)
    a = activations(lambda: plus(x), model, "encoder")
    full, falls = plus(x) - less(x), []
    for k in range(len(a)):
        with removed(model, "encoder", k):
            without = plus(x)
        with removed(model, "encoder", k):
            falls.append(full - (without - less(x)))
    weights = torch.tensor(falls) / abs(full)
    (exp,) = asked(model, list(x), "a longer contrast", "ablationcam")
    same(exp.values, torch.einsum("k,khw->hw", weights, a.float()).relu(), 1e-5)
    same(exp.weights, weights, 1e-5)


@pytest.mark.parametrize("method", PERTURBATION)
def test_every_word_of_a_caption_equals_one_call_a_word(method):
    model, x = seeded(Captioner).double(), pictures(1, 32).double()
    options = {"patch": 16, "stride": 16} if method == "occlusion" else OPTIONS[method]
    (made,) = explain_caption(model, list(x), method=method, **options)
    assert len(made) == 6
    for i, exp in enumerate(made):
        (alone,) = explain_caption(model, list(x), i, method=method, **options)
        torch.testing.assert_close(exp.values, alone.values, rtol=1e-4, atol=1e-6)
        assert exp.score == pytest.approx(alone.score)
    if method in ("occlusion", "rise"):  # falls add up like the log-probabilities they are made of
        same(made.whole.values, sum(exp.values for exp in made))


@pytest.mark.parametrize("method", PERTURBATION)
def test_answers_equal_one_call_of_the_model_at_a_time(method):
    model, x = seeded(VQA).double(), pictures(2, 32).double()
    questions, nonempty = ["is it on the grass", "what colour"], 0
    options = {"patch": 16, "stride": 9} if method == "occlusion" else OPTIONS[method]
    for answer, against in (("no", None), (None, None), ("red", "two")):
        made = explain_answer(model, list(x), questions, answer, contrast=against, method=method, **options)
        for exp, y, question in zip(made, x, questions, strict=True):
            first = model.answer_scores(y[None], [question]).argmax() if answer is None else model.answers.index(answer)

            def score(z, first=first, question=question, against=against):
                scores = model.answer_scores(z, [question])[0]
                return float(scores[first] - (0 if against is None else scores[model.answers.index(against)]))

            expected = literal(method, score, y[None], model, "encoder", **options)
            nonempty += bool(expected.any())
            torch.testing.assert_close(
                exp.values.float(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()) + 1e-12
            )
    assert nonempty >= 4


# --- occlusion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patch", "stride", "fill"), [(5, 3, 0.0), (7, 4, -1.0), (4, 4, 0.5), (16, 16, 0.0)])
def test_captums_occlusion(patch, stride, fill):
    """Squares at the border are cut and falls averaged over the squares that cover a pixel, as there."""
    x = pictures(2, 16)
    for net in (seeded(Strided), seeded(Deep)):
        peer = captum.attr.Occlusion(net)
        window, steps = (3, patch, patch), (3, stride, stride)
        expected = peer.attribute(x, window, strides=steps, target=[3, 1], baselines=fill)[:, 0]
        got = attribute(
            net, x, [torch.tensor([3, 1])], layer="features", method="occlusion", patch=patch, stride=stride, fill=fill
        )
        same(got[0], expected.float())


@pytest.mark.parametrize(("patch", "stride"), [(48, 30), (40, 40)])
def test_captums_occlusion_of_a_large_network(patch, stride):
    net, x = network("resnet18"), pictures(1, 96)
    peer = captum.attr.Occlusion(net)
    with torch.no_grad():
        expected = peer.attribute(x, (3, patch, patch), strides=(3, stride, stride), target=3, perturbations_per_eval=8)
    got = attribute(net, x, [3], method="occlusion", patch=patch, stride=stride)
    same(got[0], expected[:, 0].float(), 1e-3)


class Linear(nn.Module):
    """S = Σ v·x + 1: each pixel of each channel adds its own part."""

    def __init__(self, height=11, width=14):
        super().__init__()
        self.v = nn.Parameter(torch.randn(2, 3, height, width))

    def forward(self, x):
        return torch.einsum("nchw,kchw->nk", x, self.v) + 1


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 13), width=st.integers(1, 13), patch=st.integers(1, 9), step=st.integers(1, 9),
    fill=st.floats(-2, 2), rows=st.integers(1, 40), seed=st.integers(0, 1000),
)  # fmt: skip
def test_occlusion_of_a_linear_model_is_the_mean_of_what_the_squares_cover(
    height, width, patch, step, fill, rows, seed
):
    stride = min(step, patch)
    net = seeded(Linear, height, width, seed=seed).double()
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed)).double()
    parts = torch.einsum("nchw,kchw->knhw", x - fill, net.v.detach())
    expected, covered = torch.zeros_like(parts), torch.zeros(height, width)

    def reaches(side):  # squares start every `stride` pixels until one reaches the end
        return range(0, stride * max(0, -(-(side - patch) // stride)) + 1, stride)

    for top in reaches(height):
        for left in reaches(width):
            square = (..., slice(top, top + patch), slice(left, left + patch))
            expected[square] += parts[square].sum((2, 3), keepdim=True)
            covered[square] += 1
    got = attribute(net, x, [0, 1], method="occlusion", patch=patch, stride=stride, fill=fill, rows=rows)
    torch.testing.assert_close(got, expected / covered, rtol=1e-6, atol=1e-9)


def test_occlusion_pixel_by_pixel_sums_to_the_score_of_a_linear_model():
    net, x = seeded(Linear), pictures(1, 16)[:, :, :11, :14]
    values = attribute(net, x, [1], method="occlusion", patch=1, stride=1)[0, 0]
    same(values, (x[0] * net.v[1].detach()).sum(0))
    assert float(values.sum()) == pytest.approx(net(x)[0, 1].item() - 1, rel=1e-4)


@pytest.mark.parametrize(("patch", "stride"), [(3, 4), (3, 0), (3, -1), (0, 0), (-2, 1)])
def test_squares_that_leave_gaps_are_refused(patch, stride):
    with pytest.raises(ExplainError, match=rf"patch={patch} with stride={stride} leaves gaps; pass 1 ≤ stride ≤ patch"):
        attribute(seeded(Gap), pictures(), [0], method="occlusion", patch=patch, stride=stride)


# --- RISE -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), cells=st.integers(1, 9), share=st.floats(0.05, 0.95),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_masks_are_smooth_of_the_pictures_size_and_open_as_often_as_asked(height, width, cells, share, seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.stack([random_mask(height, width, cells, share, generator) for _ in range(150)])
    assert masks.shape == (150, height, width)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    for axis, side in ((1, height), (2, width)):  # from one cell's centre to the next is at least a whole cell
        assert masks.diff(dim=axis).abs().max() <= 1 / -(-side // cells) + 1e-5 if side > 1 else True
    # A pixel's value has a deviation of at most that of a cell; five of the mean's.
    slack = 5 * (share * (1 - share) / 150) ** 0.5
    assert float((masks.mean(0) - share).abs().max()) <= slack
    assert torch.equal(masks[0], random_mask(height, width, cells, share, torch.Generator().manual_seed(seed)))


def test_masks_are_shifted_at_random():
    """Were they not, the borders between cells would always fall on the same pixels."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([random_mask(28, 28, 4, 0.5, generator) for _ in range(400)])
    variance = masks.var(0)[4:-4, 4:-4]  # near the border a cell is all there is
    assert float((variance - variance.mean()).abs().max()) < 0.3 * float(variance.mean())


def test_rise_of_an_additive_model_follows_what_each_place_adds():
    """S = Σ v·x with two bright places and a dark one: the map is their picture, as coarse as the masks."""
    net, x = seeded(Linear, 28, 28), torch.ones(1, 3, 28, 28)
    truth = torch.zeros(28, 28)
    truth[4:10, 4:10], truth[16:24, 14:22], truth[4:10, 18:26] = 1.0, 0.7, -0.8
    net.v.data.zero_()
    net.v.data[0] = truth / 3
    values = attribute(net, x, [0], method="rise", n=1500)[0, 0]
    blurred = F.avg_pool2d(truth[None, None], 5, 1, 2)[0, 0]
    assert scipy.stats.pearsonr(values.flatten(), blurred.flatten()).statistic > 0.9
    assert scipy.stats.spearmanr(values.flatten(), blurred.flatten()).statistic > 0.7
    assert values[4:10, 4:10].min() > 0 > values[4:10, 19:25].max()
    few = attribute(net, x, [0], method="rise", n=100)[0, 0]
    assert (
        scipy.stats.pearsonr(few.flatten(), blurred.flatten()).statistic
        < scipy.stats.pearsonr(values.flatten(), blurred.flatten()).statistic
    )


@pytest.mark.parametrize("add", [0.0, -7.0, 100.0])
def test_rise_is_zero_where_nothing_makes_a_difference(add):
    """The paper's E[S | seen] has the score's own zero; less the mean, a constant score gives an empty map."""

    class Constant(Linear):
        def forward(self, x):
            return 0 * super().forward(x) + add

    values = attribute(seeded(Constant, 16, 16), pictures(), [0], method="rise", n=50)
    assert float(values.abs().max()) <= 1e-6 * max(1, abs(add))


def test_the_same_seed_gives_the_same_map_and_another_seed_another():
    net, x = seeded(Strided), pictures(2, 16)
    one, same_again, other = (attribute(net, x, [0], method="rise", n=30, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, same_again)
    assert float((one - other).abs().max()) > 0.05 * float(one.abs().max())


@pytest.mark.parametrize(
    "options", [{"n": 1}, {"n": 0}, {"cells": 0}, {"share": 0.0}, {"share": 1.0}, {"share": -0.1}, {"n": -5}]
)
def test_what_makes_no_masks_is_refused(options):
    with pytest.raises(ExplainError, match="make no masks; pass n ≥ 2, cells ≥ 1, 0 < share < 1"):
        attribute(seeded(Gap), pictures(), [0], method="rise", **options)


@pytest.mark.parametrize(("n", "share"), [(2, 0.5), (3, 0.2), (20, 0.02)])
def test_a_pixel_that_no_mask_opens_is_no_nan(n, share):
    values = attribute(seeded(Gap), pictures(), [0], method="rise", n=n, share=share)
    assert torch.isfinite(values).all()
    assert values.abs().max() > 0


def test_a_half_precision_model_is_summed_up_in_full_precision():
    """Adding up a thousand masks in bfloat16 stops at 256, where a step is 2."""
    net, x = seeded(Strided), pictures(2, 16)
    expected = attribute(net, x, [0, 1, 2, 3], method="rise", n=800)
    got = attribute(net.bfloat16(), x.bfloat16(), [0, 1, 2, 3], method="rise", n=800).float()
    for t in range(4):
        assert scipy.stats.pearsonr(got[t].flatten(), expected[t].flatten()).statistic > 0.9


# --- Score-CAM --------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet():
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def normalised(maps):
    """To 0..1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True)


def peers_scorecam(library, net, x, classes):
    if library == "torchcam":
        with torchcam.methods.ScoreCAM(net, "features", input_shape=tuple(x.shape[1:])) as peer:
            return peer(classes, net(x))[0]
    with pytorch_grad_cam.ScoreCAM(net, [net.features]) as peer:
        return torch.from_numpy(peer(x, [ClassifierOutputTarget(c) for c in classes]))


@pytest.mark.parametrize("library", ["torchcam", "pytorch_grad_cam"])
def test_the_peers_score_cam_of_a_layer_as_large_as_the_picture(library, quiet):
    """All three agree where nothing is enlarged."""
    net, x = seeded(Gap), pictures(2, 16)
    net.fc.weight.data.mul_(20)  # so that the softmax over channels is far from uniform
    got = attribute(net, x, [torch.tensor([3, 1])], method="scorecam", layer="features")
    assert (got.amax((2, 3)) > 0).all()
    same(normalised(got[0]), peers_scorecam(library, net, x, [3, 1]))


@pytest.mark.parametrize("library", ["torchcam", "pytorch_grad_cam"])
def test_the_peers_score_cam_of_a_smaller_layer_differs_in_how_a_channel_is_enlarged(library, quiet):
    """torchcam scales a channel to 0..1 before it is enlarged, the paper (and we) after; pytorch_grad_cam enlarges
    with align_corners=True. Ours with that one step changed is theirs.
    """
    net, x, classes = seeded(Strided), pictures(2, 16), [3, 1]
    net.head[2].weight.data.mul_(20)
    expected = peers_scorecam(library, net, x, classes)
    with torch.no_grad():
        a = net.features(x)
        if library == "torchcam":
            low, high = a.amin((2, 3), keepdim=True), a.amax((2, 3), keepdim=True)
            through = F.interpolate((a - low) / (high - low + 1e-8), (16, 16), mode="bilinear", align_corners=False)
        else:
            up = F.interpolate(a, (16, 16), mode="bilinear", align_corners=True)
            low, high = up.amin((2, 3), keepdim=True), up.amax((2, 3), keepdim=True)
            through = (up - low) / (high - low + 1e-8)
        scores = torch.stack([net(x * through[:, k : k + 1])[[0, 1], classes] for k in range(a.shape[1])], 1)
        theirs = torch.einsum("nk,nkhw->nhw", scores.softmax(1), a).relu()
    ours = attribute(net, x, [torch.tensor(classes)], method="scorecam", layer="features")[0]
    if library == "torchcam":
        same(normalised(theirs), expected)
    else:  # it enlarges the map with cv2.resize
        up = F.interpolate(normalised(theirs)[:, None], (16, 16), mode="bilinear", align_corners=False)[:, 0]
        same(normalised(up), expected, 1e-3)
    assert float((theirs - ours).abs().max()) > 1e-3 * float(ours.max())


def test_score_cams_weights_are_a_softmax_over_channels():
    net, x = seeded(Strided), pictures(1, 16)
    exp = explain_class(net, x, [[0, 1]], layer="features", method="scorecam")[0]
    for one in exp:
        assert one.weights.shape == (5,)
        assert float(one.weights.sum()) == pytest.approx(1)
        assert one.weights.min() > 0


@pytest.mark.parametrize("method", ["scorecam", "ablationcam"])
@pytest.mark.parametrize("units", [[2], [4, 0], [0, 1, 2, 3, 4]])
def test_chosen_channels_only(method, units):
    net, x = seeded(Strided), pictures(1, 16)
    a = net.features(x)[0].detach()
    got = attribute(net, x, [1, 2], layer="features", method=method, units=units, rows=2)
    for t, target in enumerate((1, 2)):
        score = lambda y, t=target: net(y)[0, t].item()  # noqa: E731
        with torch.no_grad():
            if method == "scorecam":
                expected = literal_scorecam(score, x, a, units)
            else:
                expected = literal_ablationcam(score, x, a, net, "features", units)
        torch.testing.assert_close(got[t, 0], expected, rtol=1e-3, atol=1e-5)
    assert got.max() > 0


@pytest.mark.parametrize("method", ["scorecam", "ablationcam"])
def test_chosen_cells_only(method):
    net, x = seeded(Strided), pictures(2, 16)
    mask = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.4
    got = attribute(net, x, [0, 1, 2], layer="features", method=method, mask=mask)
    one = attribute(net, x[:1], [0, 1, 2], layer="features", method=method, mask=mask[0].tolist())
    torch.testing.assert_close(got[:, :1], one)
    a = net.features(x).detach()
    for n in range(2):
        for t in range(3):
            score = lambda y, t=t: net(y)[0, t].item()  # noqa: E731
            with torch.no_grad():
                if method == "scorecam":
                    expected = literal_scorecam(score, x[n : n + 1], a[n] * mask[n])
                else:
                    expected = literal_ablationcam(score, x[n : n + 1], a[n], net, "features", where=mask[n].float())
            torch.testing.assert_close(got[t, n], expected, rtol=1e-3, atol=1e-5)
    assert got.max() > 0
    assert got[:, ~mask].abs().max() == 0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.7, 3.3])
def test_a_constant_channel_shows_nothing(value):
    """Enlarging 3.3 gives values that differ in their last digit; scaled to 0..1 that would be a mask of noise."""
    net, x = seeded(Strided), pictures(1, 18)
    net.head[2].weight.data.mul_(20)
    net.features[2].weight.data[1], net.features[2].bias.data[1] = 0, value
    a = net.features(x)[0].detach()
    assert a[1].max() == a[1].min() == torch.tensor(value)
    made = explain_class(net, x, [[1, 2]], layer="features", method="scorecam")[0]
    for target, exp in zip((1, 2), made, strict=True):
        through = [upsampled(channel, (18, 18)) for channel in a]
        through = [(up - up.min()) / (up.max() - up.min()) for up in through]
        through[1] = torch.zeros(18, 18)
        with torch.no_grad():
            scores = torch.stack([net(x * mask)[0, target] for mask in through])
        same(exp.weights, scores.softmax(0))


# --- Ablation-CAM -----------------------------------------------------------------------------------------------------


def peers_ablationcam(net, x, classes):
    """It sets a channel to zero where the activations' minimum is 0, that is behind a ReLU."""
    with pytorch_grad_cam.AblationCAM(net, [net.features]) as peer:
        return torch.from_numpy(peer(x, [ClassifierOutputTarget(c) for c in classes]))


@pytest.mark.parametrize("kind", [Gap, Strided])
def test_pytorch_grad_cams_ablation_cam(kind, quiet):
    net, x, classes = seeded(kind), pictures(2, 16), [2, 1]
    last = net.fc if kind is Gap else net.head[2]
    last.bias.data.abs_().add_(1)
    assert (net(x)[[0, 1], classes] > 0).all()
    got = attribute(net, x, [torch.tensor(classes)], method="ablationcam", layer="features")
    assert (got.amax((2, 3)) > 0).all()
    up = F.interpolate(normalised(got[0])[:, None], (16, 16), mode="bilinear", align_corners=False)[:, 0]
    same(normalised(up), peers_ablationcam(net, x, classes), 1e-3)


def test_pytorch_grad_cam_turns_the_map_of_a_negative_score_around(quiet):
    """It divides by S, as the paper prints it: what speaks for a class then counts against it, without a word."""
    net, x, classes = seeded(Gap), pictures(2, 16), [3, 1]
    net.fc.bias.data.sub_(10)
    assert (net(x)[[0, 1], classes] < 0).all()
    theirs = peers_ablationcam(net, x, classes)
    turned = attribute(net, x, [lambda out: -out[[0, 1], classes]], method="ablationcam", layer="features")
    assert (turned.amax((2, 3)) > 0).all()
    same(normalised(turned[0]), theirs, 1e-3)
    ours = attribute(net, x, [torch.tensor(classes)], method="ablationcam", layer="features")
    assert float((normalised(ours[0]) - theirs).abs().max()) > 0.5


@pytest.mark.parametrize("shift", [10.0, 0.0, -10.0])
def test_ablating_before_a_global_pool_and_a_linear_layer_takes_that_channels_part(shift):
    """S − S_k = w_k mean(A_k) whatever the sign of S."""
    net, x = seeded(Gap), pictures(2)
    net.fc.bias.data.add_(shift)
    with torch.no_grad():
        a, scores = net.features(x), net(x)
    made = explain_class(net, x, [[0, 3], [0, 3]], layer="features", method="ablationcam")
    for n in range(2):
        for one, target in zip(made[n], (0, 3), strict=True):
            parts = net.fc.weight[target].detach() * a[n].mean((1, 2))
            size = abs(float(scores[n, target]))
            torch.testing.assert_close(one.weights * size, parts, rtol=0, atol=1e-3 * float(parts.abs().max()))
            same(one.values, torch.einsum("k,khw->hw", parts / size, a[n]).relu(), 1e-3)


def test_the_size_of_a_score_of_zero_is_left_out():
    net, x = seeded(Gap), pictures(1)
    zero = net(x)[0, 2].item()
    with torch.no_grad():
        a = net.features(x)[0]
    parts = net.fc.weight[2].detach() * a.mean((1, 2))
    got = attribute(net, x, [lambda out: out[:, 2] - zero], layer="features", method="ablationcam")[0, 0]
    assert torch.isfinite(got).all()
    same(got, torch.einsum("k,khw->hw", parts, a).relu(), 1e-3)


@pytest.mark.parametrize("kind", [CountsRows, LosesRows])
@pytest.mark.parametrize("rows", [32, 4])
def test_a_model_that_takes_no_added_rows_gives_the_same(kind, rows):
    x, targets = pictures(2), [0, 1, lambda out: out[:, 2] - out[:, 3]]
    usual = attribute(seeded(Deep), x, targets, layer="features", method="ablationcam")
    same(attribute(seeded(kind), x, targets, layer="features", method="ablationcam", rows=rows), usual)


def test_everything_before_the_layer_runs_once_for_each_chunk():
    net, x, seen = seeded(Strided), pictures(2, 16), []
    attribute(net, x, [0, 1], layer="features", method="ablationcam", rows=6)  # the first call of all proves more
    net.features[0].register_forward_hook(lambda m, i, o: seen.append(len(o)))
    attribute(net, x, [0, 1], layer="features", method="ablationcam", rows=6)  # 5 channels, 3 of 2 pictures a time
    assert seen == [2, 2, 2]


@pytest.mark.parametrize("call", [0, 1])
def test_a_layer_that_runs_twice_is_ablated_in_one_call(call):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

        def forward(self, x):
            return self.fc(torch.tanh(self.shared(torch.tanh(self.shared(x)))).mean((2, 3)))

    net, x = seeded(Twice), pictures(1)
    got = attribute(net, x, [0, 1], layer="shared", call=call, method="ablationcam")
    for t in range(2):
        score = lambda y, t=t: net(y)[0, t].item()  # noqa: E731
        with torch.no_grad():
            a = activations(lambda: net(x), net, "shared", call)
            expected = literal_ablationcam(score, x, a, net, "shared", call=call)
        torch.testing.assert_close(got[t, 0], expected, rtol=1e-3, atol=1e-5)
    assert got.max() > 0
    for method in ("ablationcam", "scorecam"):
        with pytest.raises(ExplainError, match="'shared' runs 2 times in one forward"):
            attribute(net, x, [0], layer="shared", method=method)


@pytest.mark.parametrize("method", ["scorecam", "ablationcam"])
def test_a_layer_that_gives_a_tuple(method):
    class Both(nn.Sequential):
        def forward(self, x):
            return super().forward(x), "beside"

    class Net(Strided):
        def __init__(self):
            super().__init__()
            self.features = Both(*self.features)

        def forward(self, x):
            return self.head(F.adaptive_avg_pool2d(self.features(x)[0], 3).flatten(1))

    x = pictures(2, 16)
    expected = attribute(seeded(Strided), x, [0, 1], layer="features", method=method)
    same(attribute(seeded(Net), x, [0, 1], layer="features", method=method), expected)


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("method", PERTURBATION)
def test_rows_change_nothing_but_memory(method, rows):
    net, x = seeded(Strided), pictures(2, 16)
    expected = attribute(net, x, [0, 1], layer="features", method=method, **OPTIONS[method])
    got = attribute(net, x, [0, 1], layer="features", method=method, rows=rows, **OPTIONS[method])
    same(got, expected, 1e-4)


@pytest.mark.parametrize("rows", [0, -1])
@pytest.mark.parametrize("method", PERTURBATION)
def test_no_rows_are_refused(method, rows):
    with pytest.raises(ExplainError, match=f"rows={rows} pictures at a time are none"):
        attribute(seeded(Gap), pictures(), [0], method=method, rows=rows)


@pytest.mark.parametrize("kind", [Deep, CountsRows])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", PERTURBATION)
def test_never_more_rows_than_asked_for(method, n, kind):
    net, x = seeded(kind), pictures(n)
    attribute(net, x, [0], layer="features", method=method, **OPTIONS[method])
    first, behind = [], []
    net.features[0].register_forward_pre_hook(lambda m, i: first.append(len(i[0])))
    net.head[1].register_forward_pre_hook(lambda m, i: behind.append(len(i[0])))
    attribute(net, x, [0, 1, 2], layer="features", method=method, rows=4, **OPTIONS[method])
    assert max(first) <= 4
    assert max(behind) <= 4
    assert max(behind) == {1: 4, 2: 4, 3: 3}[n], "and no fewer than fit"


@pytest.mark.parametrize("method", PERTURBATION)
def test_never_more_rows_than_asked_for_with_two_versions_of_a_text(method):
    model, x = seeded(Captioner), pictures(2, 32)
    first, behind = [], []
    model.encoder[0].register_forward_pre_hook(lambda m, i: first.append(len(i[0])))
    model.lstm.register_forward_pre_hook(lambda m, i: behind.append(len(i[0])))
    asked(model, list(x), "a contrast", method, layer="encoder", rows=8, **OPTIONS[method])
    assert max(first) <= 8
    assert max(behind) == 8


@pytest.mark.parametrize("method", PERTURBATION)
def test_the_default_target_is_the_class_of_the_clean_picture(method):
    """Though the prediction changes as soon as something is covered."""
    net, x = seeded(Strided), pictures(3, 16)
    net.head[2].weight.data.mul_(20)
    with torch.no_grad():
        net.head[2].bias.sub_(net(x).mean(0))
    predicted = net(x).argmax(1).tolist()
    changed = []
    net.register_forward_hook(lambda m, i, o: changed.extend(o.argmax(1).tolist()))
    options = OPTIONS[method] | {"layer": "features", "method": method}
    made = explain_class(net, x, **options)
    assert len(set(changed)) > 1, "the test would not notice"
    assert set(changed) - set(predicted) or len(set(predicted)) > 1
    for exp, wanted, y in zip(made, predicted, x, strict=True):
        expected = explain_class(net, y, wanted, **options)
        assert exp.target == expected.target == f"class {wanted}"
        torch.testing.assert_close(exp.values, expected.values, rtol=1e-3, atol=1e-5)
        assert exp.score == pytest.approx(expected.score, rel=1e-4)
    (contrast,) = explain_class(net, x[:1], contrast=(predicted[0] + 1) % 4, **options)
    explicit = explain_class(net, x[0], predicted[0], contrast=(predicted[0] + 1) % 4, **options)
    torch.testing.assert_close(contrast.values, explicit.values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", PERTURBATION)
def test_the_default_answer_is_that_to_the_clean_picture(method):
    model, x, question = seeded(VQA), pictures(2, 32), "is it on the grass"
    with torch.no_grad():
        model.output.bias.sub_(model.answer_scores(x, [question] * 2).mean(0))
    predicted = model.answer_scores(x, [question] * 2).argmax(1).tolist()
    changed = []
    model.output.register_forward_hook(lambda m, i, o: changed.extend(o.argmax(1).tolist()))
    made = explain_answer(model, list(x), question, method=method, **OPTIONS[method])
    assert len(set(changed)) > 1
    for exp, wanted, y in zip(made, predicted, x, strict=True):
        expected = explain_answer(model, y, question, wanted, method=method, **OPTIONS[method])
        assert exp.target == model.answers[wanted]
        torch.testing.assert_close(exp.values, expected.values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_a_model_without_any_layer_to_name(method):
    """They look at pictures only, so a perceptron will do."""
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)))
    x, v = pictures(2), net[1].weight.detach().view(4, 3, 16, 16)
    got = attribute(net, x, [1], method=method, **OPTIONS[method])
    assert got.shape == (1, 2, 16, 16)
    exp = explain_class(net, x[0], 1, method=method, **OPTIONS[method])
    assert exp.layer == "pixels"
    same(exp.values, got[0, 0])
    if method == "occlusion":
        same(attribute(net, x, [1], method=method, patch=1, stride=1)[0], (x * v[1]).sum(1))


class Frozen(Strided):
    """With everything a forward pass may change."""

    def __init__(self):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(5), nn.Dropout(0.5)

    def forward(self, x):
        torch.rand(2)
        return self.head(self.dropout(F.adaptive_avg_pool2d(self.norm(self.features(x)), 3).flatten(1)))


@pytest.mark.parametrize("where", ["nowhere", "target", "head", "layer"])
@pytest.mark.parametrize("method", PERTURBATION)
def test_a_model_is_left_as_found(method, where):
    class BrokenError(Exception):
        pass

    def fail(*_):
        raise BrokenError

    def late(out):
        """Fails as soon as there are more rows than pictures."""
        if len(count) > 2:
            raise BrokenError
        count.append(len(out))
        return out[:, 0]

    net, x, count = seeded(Frozen).train(), pictures(2, 16), []
    net.norm.eval()
    net.head[0].weight.requires_grad_(False)
    net.head[0].bias.grad = torch.ones_like(net.head[0].bias)
    before = x.clone()
    broken = {"head": net.head[1], "layer": net.features[1]}.get(where)
    handle = broken.register_forward_hook(fail) if broken else None
    state = State(net)
    if where == "nowhere":
        attribute(net, x, [0, 1], layer="features", method=method, **OPTIONS[method])
    else:
        # what a user's own target raises is told in a sentence, as its cause
        with pytest.raises(ExplainError if where == "target" else BrokenError):
            attribute(
                net, x, [late if where == "target" else 0], layer="features", method=method, **OPTIONS[method], rows=2
            )
    state.check()
    assert torch.equal(x, before)
    if handle:
        handle.remove()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", PERTURBATION)
def test_callers_without_gradients_get_the_same_maps(method, mode):
    net = seeded(Strided)
    expected = attribute(net, pictures(2, 16), [0, 1], layer="features", method=method, **OPTIONS[method])
    with mode():
        got = attribute(net, pictures(2, 16), [0, 1], layer="features", method=method, **OPTIONS[method])
    same(got, expected)
    assert not got.requires_grad


@pytest.mark.parametrize("method", PERTURBATION)
def test_a_score_without_a_gradient_can_be_explained_too(method):
    """Nothing is differentiated: a hard decision will do."""
    net, x = seeded(Strided), pictures(1, 16)
    middle = net(x)[0, 0].item()
    got = attribute(
        net, x, [lambda out: (out[:, 0] >= middle - 1e-6).float()], layer="features", method=method, **OPTIONS[method]
    )
    assert torch.isfinite(got).all()
    assert got.abs().max() > 0
