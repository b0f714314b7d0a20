"""Parameter randomisation: what changes, in which order, and that nothing is left of it."""

import copy
import math
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from torch import nn
from torchvision.models import squeezenet1_1

import mmcam
from mmcam import ExplainError
from mmcam.evaluation.sanity import layers_from_top, randomised, reinitialise, similarity, structural_similarity


class Token(nn.Module):
    """A module with a parameter and no way to reset it."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(400) * 2 + 5)

    def forward(self, x):
        return x + self.token[:1]


def net():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Token(),
        nn.Linear(4, 3),
    )
    model(torch.rand(4, 3, 8, 8))  # statistics that are not those of a new network
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    return model.eval()


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


def test_from_the_top_down():
    assert layers_from_top(net()) == ["6", "5", "1", "0"]
    names = layers_from_top(squeezenet1_1(weights=None))
    assert names[0] == "classifier.1"
    assert names[-1] == "features.0"
    assert len(names) == 26


def test_cascading_keeps_what_was_randomised_before():
    model = net()
    before = state(model)
    with randomised(model) as steps:
        seen = [(name, changed(before, model)) for name in steps]
    assert seen == [("6", {"6"}), ("5", {"6", "5"}), ("1", {"6", "5", "1"}), ("0", {"6", "5", "1", "0"})]


def test_independent_randomises_one_at_a_time():
    model = net()
    before = state(model)
    with randomised(model, cascade=False) as steps:
        for name in steps:
            assert changed(before, model) == {name}
    assert not changed(before, model)


def test_a_layer_gets_the_same_weights_in_both_modes_and_others_by_another_seed():
    found = []
    for options in ({}, {"cascade": False}, {"seed": 7}):
        model = net()
        with randomised(model, ["6", "0"], **options) as steps:
            list(steps)
            found.append(model[0].weight.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("how", ["exhausted", "left early", "failed", "never begun"])
def test_the_model_is_left_exactly_as_found(how):
    model = net().train()
    model[0].eval()
    model[6].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before, random = state(model), torch.get_rng_state()
    pointers = [p.data_ptr() for p in model.parameters()]
    flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]

    def use():
        with randomised(model) as steps:
            if how == "never begun":
                return
            for name in steps:
                if name == "1" and how == "failed":
                    raise RuntimeError("no map")
                if name == "1" and how == "left early":
                    break

    if how == "failed":
        with pytest.raises(RuntimeError, match="no map"):
            use()
    else:
        use()
    assert not changed(before, model)
    assert torch.equal(random, torch.get_rng_state())
    assert pointers == [p.data_ptr() for p in model.parameters()], "in place, so that an optimiser still knows them"
    assert flags == ([m.training for m in model.modules()], [p.requires_grad for p in model.parameters()])
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert not list(model[0]._forward_hooks)


def test_even_where_something_else_was_changed_inside():
    model = net()
    before = state(model)
    with randomised(model, ["6"]) as steps:
        next(steps)
        model.train()(torch.rand(4, 3, 8, 8))  # moves the batch norm's statistics
    assert not changed(before, model)


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    before = state(model)
    with randomised(model) as steps:
        for _ in steps:
            assert model[1].weight is model[0].weight
    assert not changed(before, model)


def test_a_layer_is_made_as_new():
    model = net()
    reinitialise(model[1])
    fresh = nn.BatchNorm2d(4)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(model[1].state_dict()[name], tensor)
    reinitialise(model[6], seed=5)
    first = model[6].weight.detach().clone()
    assert first.abs().max() <= 0.5, "PyTorch draws it evenly, up to 1/√4"
    reinitialise(model[6], seed=6)
    assert not torch.equal(model[6].weight, first)
    reinitialise(model[6], seed=5)
    assert torch.equal(model[6].weight, first)


def test_a_seed_does_not_bring_the_first_weights_back():
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    before = layer.weight.detach().clone()
    reinitialise(layer, seed=0)
    assert not torch.equal(layer.weight, before)


def test_a_parameter_without_a_reset_keeps_its_mean_and_spread():
    token = Token()
    before = token.token.detach().clone()
    reinitialise(token)
    assert token.token.mean().item() == pytest.approx(float(before.mean()), abs=0.5)
    assert token.token.std().item() == pytest.approx(float(before.std()), rel=0.15)
    assert abs(np.corrcoef(before, token.token.detach())[0, 1]) < 0.2


def test_a_whole_block_can_be_one_step():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), nn.Linear(3, 2))
    before = copy.deepcopy(model)
    with randomised(model, ["1", "0"]) as steps:
        list(steps)
        for mine, theirs in zip(model.parameters(), before.parameters(), strict=True):
            assert not torch.equal(mine, theirs)


def test_a_map_that_reads_the_weights_forgets_them_and_edges_do_not():
    model, x = net(), torch.rand(2, 3, 24, 24)

    def gradient():
        return mmcam.attribute(model, x, [0], method="gradient")[0, 0].abs().amax(0)

    before = gradient()
    with randomised(model) as steps:
        kept = [(similarity(x[0, 0], x[0, 0].clone()), similarity(before, gradient())) for _ in steps]
    assert all(edges == pytest.approx(1) for edges, _ in kept)
    assert kept[-1][1] < 0.9
    torch.testing.assert_close(gradient(), before)


# --- similarity -------------------------------------------------------------------------------------------------------


def test_similarity_is_spearmans():
    first, second = torch.randn(5, 7), torch.randn(5, 7)
    assert similarity(first, second) == pytest.approx(spearmanr(first.flatten(), second.flatten()).statistic)
    expected = spearmanr(first.abs().flatten(), second.abs().flatten()).statistic
    assert similarity(first, second, magnitude=True) == pytest.approx(expected)
    assert similarity(first.numpy(), -first.numpy()) == pytest.approx(-1)
    assert similarity(first.numpy(), -first.numpy(), magnitude=True) == pytest.approx(1)
    assert math.isnan(similarity(torch.zeros(5, 7), second))


def test_mistakes_are_said_in_a_sentence():
    model = net()
    wrong_ones = {"no layer '7' with weights": ["7"], "no layer '2' with weights": ["2"], "no layer to randomise": []}
    for what, wrong in wrong_ones.items():
        with pytest.raises(ValueError, match=rf"{what}; those with weights are: 6, 5, 1, 0"), randomised(model, wrong):
            pass
    with pytest.raises(ValueError, match="weights are: none"), randomised(nn.ReLU()):
        pass
    with pytest.raises(ValueError, match=r"shapes \(2, 2\) and \(3, 3\)"):
        similarity(torch.rand(2, 2), torch.rand(3, 3))


# --- structural similarity --------------------------------------------------------------------------------------------


def smooth(size=(30, 26)):
    """A map without edges, as maps are."""
    return gaussian_filter(np.random.default_rng(int(torch.randint(1000, ()))).random(size), 2)


def by_hand(a, b, span):
    """SSIM by scipy's filters alone (Wang et al. 2004, eq. 13): a Gaussian of σ 1.5, 11×11 pixels, no borders."""

    def local(values):
        return gaussian_filter(values, 1.5, radius=5, mode="reflect")

    mean_a, mean_b = local(a), local(b)
    var_a, var_b, both = local(a * a) - mean_a**2, local(b * b) - mean_b**2, local(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return values[5:-5, 5:-5].mean()


def test_structural_similarity_by_hand_of_maps_scaled_by_their_maximum():
    first, second = smooth(), smooth()
    expected = by_hand(first / first.max(), second / second.max(), 1.0)
    assert structural_similarity(first, second) == pytest.approx(expected)
    assert structural_similarity(torch.from_numpy(7 * first), 0.1 * second) == pytest.approx(expected), "scale is gone"
    assert structural_similarity(first, 3 * first) == pytest.approx(1)


def test_signed_maps_keep_their_zero_and_span_two():
    first, second = smooth() - 0.5, smooth() - 0.5
    first, second = first / np.abs(first).max(), second / np.abs(second).max()
    assert structural_similarity(first, second) == pytest.approx(by_hand(first, second, 2.0))
    expected = by_hand(np.abs(first), np.abs(second), 1.0)
    assert structural_similarity(first, second, magnitude=True) == pytest.approx(expected)
    assert structural_similarity(first, -first) == pytest.approx(by_hand(first, -first, 2.0))
    assert structural_similarity(first, -first, magnitude=True) == pytest.approx(1)
    positive = np.abs(second)
    assert structural_similarity(first, positive) == pytest.approx(by_hand(first, positive / positive.max(), 2.0))


def test_structural_similarity_of_nothing_is_undefined():
    assert math.isnan(structural_similarity(np.zeros((20, 20)), smooth((20, 20))))
    assert math.isnan(structural_similarity(smooth((20, 20)), np.full((20, 20), np.nan)))


def test_small_maps_and_a_missing_library_are_said(monkeypatch):
    with pytest.raises(ValueError, match="no window of 11×11"):
        structural_similarity(np.eye(7), np.eye(7))
    with pytest.raises(ValueError, match="no window of 11×11"):
        structural_similarity(np.zeros((3, 20, 20)), np.zeros((3, 20, 20)))
    with pytest.raises(ValueError, match=r"shapes \(20, 20\) and \(21, 21\)"):
        structural_similarity(np.eye(20), np.eye(21))
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ExplainError, match=r'needs scikit-image, .* pip install "mmcam\[metrics\]"'):
        structural_similarity(np.eye(20), np.eye(20))
