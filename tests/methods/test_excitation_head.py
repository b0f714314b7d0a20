"""Heads that score every cell, and signed values: excitation backprop against closed forms and loops over neurons."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute

BOTH = ("excitation_backprop", "c_mwp")


def same(got, expected, relative=1e-5):
    assert float(expected.abs().max()) > 0, "two empty maps agree"
    torch.testing.assert_close(got.double(), expected.double(), rtol=0, atol=relative * float(expected.abs().max()))


# --- convolutional heads ----------------------------------------------------------------------------------------------

HEADS = {
    "1×1": {"kernel_size": 1},
    "3×3, padded": {"kernel_size": 3, "padding": 1},
    "3×3, strided": {"kernel_size": 3, "stride": 2},
    "two groups": {"kernel_size": 1, "groups": 2},
    "3×3, dilated, two groups": {"kernel_size": 3, "padding": "same", "dilation": 2, "groups": 2},
}
POOLS = {
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(1),
    "mean": lambda a: a.mean((2, 3)),
    "two means": lambda a: a.mean(3).mean(2),
    "sum": lambda a: a.sum((2, 3)),
}


class Headed(nn.Module):
    """SqueezeNet's end: a convolution gives the scores of every cell, and their positive parts are averaged."""

    def __init__(self, head=None, pool=None, inplace=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.features = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.ReLU())
        self.scores, self.relu = nn.Conv2d(4, 6, **(head or HEADS["1×1"])), nn.ReLU(inplace)
        self.pool = pool or POOLS["AdaptiveAvgPool2d"]

    def forward(self, x):
        return self.pool(self.relu(self.scores(self.features(self.stem(x))))).flatten(1)


def handed(conv, weight, x, won):
    """Neurons x (C,H,W) below a convolution, and what its outputs won (channels, places): one after the other."""
    out, own = np.zeros(x.shape), len(weight) // conv.groups
    step, gap = conv.stride[0], conv.dilation[0]
    edge = conv.dilation[0] * (conv.kernel_size[0] // 2) if conv.padding == "same" else conv.padding[0]
    for i, r, c in np.ndindex(won.shape):
        first = i // own * weight.shape[1]
        parts = {}
        for k, dr, dc in np.ndindex(weight.shape[1:]):
            j = (first + k, r * step - edge + dr * gap, c * step - edge + dc * gap)
            if 0 <= j[1] < x.shape[1] and 0 <= j[2] < x.shape[2]:
                parts[j] = x[j] * max(weight[i, k, dr, dc], 0)
        total = sum(parts.values())
        for j, part in parts.items():
            out[j] += won[i, r, c] * part / total if total else 0
    return out


def by_value(net, x, target, sign=1):
    """p at `features` for one class of one picture (3,H,W), the head's weights with a sign."""
    with torch.no_grad():
        a = net.features(net.stem(x[None]))
        z = net.scores(a)[0].numpy()
    won = np.zeros_like(z)
    won[target] = np.maximum(z[target], 0) / np.maximum(z[target], 0).sum()
    return handed(net.scores, sign * net.scores.weight.detach().numpy(), a[0].numpy(), won)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_a_convolutional_head_hands_p_to_its_cells_by_value(head, inplace, signed):
    net, x = seeded(Headed, HEADS[head], inplace=inplace).double(), pictures(2, 6).double()
    targets = [t for t in range(6) if (net(x)[:, t] > 0).all()]
    assert len(targets) > 1
    got = attribute(net, x, targets, layer="features", method="excitation_backprop", signed=signed)
    for (t, target), n in itertools.product(enumerate(targets), range(2)):
        same(got[t, n], torch.from_numpy(by_value(net, x[n], target).sum(0)))


@pytest.mark.parametrize("pool", POOLS)
def test_however_its_pool_is_written(pool):
    net, x = seeded(Headed, pool=POOLS[pool]).double(), pictures(1, 6).double()
    target = int(net(x).argmax())
    got = attribute(net, x, [target], layer="features", method="excitation_backprop")
    same(got[0, 0], torch.from_numpy(by_value(net, x[0], target).sum(0)))


def test_below_the_head_the_rule_goes_on():
    net, x = seeded(Headed).double(), pictures(1, 6).double()
    target = int(net(x).argmax())
    with torch.no_grad():
        stem = net.stem(x)[0].numpy()
    p, q = (by_value(net, x[0], target, sign) for sign in (1, -1))
    weight = net.features[0].weight.detach().numpy()
    p, q = (torch.from_numpy(handed(net.features[0], weight, stem, won).sum(0)) for won in (p, q))
    same(attribute(net, x, [target], layer="stem", method="excitation_backprop")[0, 0], p)
    same(attribute(net, x, [target], layer="stem", method="c_mwp")[0, 0], (p - q).relu(), 1e-4)


def test_two_cells_by_hand():
    """Scores 3·1 + 1·1 = 4 and 3·2 − 2·1 = 4 … with a bias: 6 and 2 win 3/4 and 1/4, whatever the bias adds."""
    net = nn.Sequential(nn.Identity(), nn.Conv2d(2, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].weight.data = torch.tensor([3.0, -1.0])[None, :, None, None]
    net[1].bias.data.fill_(1.0)
    x = torch.tensor([[[[2.0, 1.0, 0.0]], [[1.0, 2.0, 5.0]]]])  # scores 6, 2 and −4
    got = attribute(net, x, [0], layer="0", method="excitation_backprop")
    torch.testing.assert_close(got[0, 0], torch.tensor([[0.75, 0.25, 0.0]]))
    over = attribute(net, x, [0], layer="0", method="excitation_backprop", over_cells=True)
    torch.testing.assert_close(over[0, 0], torch.tensor([[2 / 3, 1 / 3, 0.0]]))  # ∝ 3x, where the score passed the ReLU


def test_scores_that_are_averaged_without_a_relu():
    """Cells below zero win nothing; signed ones have their ratio to the sum, 4 : −1."""
    net = nn.Sequential(nn.Identity(), nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].weight.data.fill_(1.0)
    net[1].bias.data.fill_(-2.0)
    x = torch.tensor([[[[6.0, 1.0]]]])
    how = {"layer": "0", "method": "excitation_backprop"}
    torch.testing.assert_close(attribute(net, x, [0], **how)[0, 0], torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(attribute(net, x, [0], signed=True, **how)[0, 0], torch.tensor([[4 / 3, -1 / 3]]))
    net[1].bias.data.fill_(-9.0)  # nothing is positive: evenly
    torch.testing.assert_close(attribute(net, x, [0], **how)[0, 0], torch.tensor([[0.5, 0.5]]))


def test_a_score_that_the_relu_cuts_off_everywhere_has_an_empty_map():
    net = seeded(Headed)
    net.scores.bias.data[2] = -100
    got = attribute(net, pictures(), [2, 0], layer="features", method="excitation_backprop")
    assert float(got[0].abs().max()) == 0
    assert float(got[1].max()) > 0


def test_a_linear_layer_over_tokens_is_such_a_head():
    class Tokens(Headed):
        def forward(self, x):
            tokens = self.features(self.stem(x)).flatten(2).transpose(1, 2)
            weight, bias = self.scores.weight[:, :, 0, 0], self.scores.bias
            return F.linear(tokens, weight, bias).relu().mean(1)

    x, how = pictures(2, 6), {"layer": "features"}
    for method in BOTH:
        how["layer"] = "stem" if method == "c_mwp" else "features"
        expected = attribute(seeded(Headed), x, [0, 1, 2], method=method, **how)
        same(attribute(seeded(Tokens), x, [0, 1, 2], method=method, **how), expected, 1e-4)


def test_one_cell_is_the_classifier_that_it_is():
    """A head behind the pool: the weights for a target are one row, and over_cells makes no difference."""

    class Behind(Headed):
        def forward(self, x):
            return self.scores(self.pool(self.features(self.stem(x)))).flatten(1)

    net, x = seeded(Behind), pictures(2, 6)
    with torch.no_grad():
        a = net.features(net.stem(x))
        shares = (net.scores.weight[1].relu() * a).sum(1)
    for over in (False, True):
        got = attribute(net, x, [1], layer="features", method="excitation_backprop", over_cells=over)
        same(got[0], shares / shares.sum((1, 2), keepdim=True))


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_target_against_a_class_is_its_dual():
    """−S: the cells of S, in each what speaks against it; so its contrast is that of S turned round."""
    net, x = seeded(Headed).double(), pictures(1, 6).double()
    target = int(net(x).argmax())
    got = attribute(net, x, [lambda out: -out[:, target]], layer="features", method="excitation_backprop")
    same(got[0, 0], torch.from_numpy(by_value(net, x[0], target, -1).sum(0)))


def test_one_class_rather_than_another_wins_where_it_has_more_of_its_score():
    net, x = seeded(Headed).double(), pictures(1, 6).double()
    one, other = (int(t) for t in net(x)[0].topk(2).indices)
    with torch.no_grad():
        a = net.features(net.stem(x))
        z, weight = net.scores(a)[0].relu(), net.scores.weight
        shares = [z[t] / z[t].sum() for t in (one, other)]
        won = (shares[0] - shares[1]).relu()
        weights = shares[0] * weight[one] - shares[1] * weight[other]  # of each cell
        found = (weights.relu() * a[0]).sum(0) > 0  # what meets nothing hands nothing down
    got = attribute(net, x, [lambda out: out[:, one] - out[:, other]], layer="features", method="excitation_backprop")
    same(got[0, 0], won / won.sum() * found)


@pytest.mark.parametrize("over", [False, True])
def test_a_pixel_of_a_score_map_and_the_log_sum_exp_of_all(over):
    """p starts at the outputs by the target's slopes: one at the pixel, exp(z)/Σ over all of them."""
    net = nn.Sequential(nn.Identity(), nn.Conv2d(2, 3, 1, bias=False))
    nn.init.uniform_(net[1].weight, 0.1, 1)
    x = torch.rand(1, 2, 3, 4) + 0.1
    with torch.no_grad():
        z = net(x)[0, 1]
    targets = [lambda out: out[:, 1, 2, 3], lambda out: out[:, 1].flatten(1).logsumexp(1)]
    got = attribute(net, x, targets, layer="0", method="excitation_backprop", over_cells=over)[:, 0]
    pixel = torch.zeros(3, 4)
    pixel[2, 3] = 1
    same(got[0], pixel)
    places = z.exp() / z.exp().sum()
    same(got[1], places * z / (places * z).sum() if over else places)


# --- the contrast -----------------------------------------------------------------------------------------------------


def test_a_contrast_that_is_nothing_in_every_cell_is_refused():
    """p and q share each cell among its channels, and their sums are the same; noise of the rounding is no map."""
    net, x = seeded(Headed), pictures(2, 6)
    for signed in (False, True):
        with pytest.raises(ExplainError, match=r"each cell of layer 'features' alike.*earlier layer.*over_cells=True"):
            attribute(net, x, [0, 1], layer="features", method="c_mwp", signed=signed)
    assert float(attribute(net, x, [0, 1], layer="stem", method="c_mwp").max()) > 1e-4
    with torch.no_grad():
        a = net.features(net.stem(x))
        passed = (net.scores(a)[:, 1:2] > 0) * a
    p, q = ((sign * net.scores.weight[1].detach()).relu() * passed for sign in (1, -1))
    p, q = (part.sum(1) / part.sum((1, 2, 3))[:, None, None] for part in (p, q))
    same(attribute(net, x, [1], layer="features", method="c_mwp", over_cells=True)[0], (p - q).relu(), 1e-4)


def test_a_fully_connected_head_is_not_refused_for_a_map_that_is_empty():
    class Pooled(Headed):
        def forward(self, x):
            return self.scores(self.pool(self.features(self.stem(x)))).flatten(1)

    net = seeded(Pooled)
    net.scores.weight.data[0] = 0.0
    assert float(attribute(net, pictures(), [0, 1], layer="features", method="c_mwp")[0].max()) == 0


def test_rows_that_are_no_pictures_are_refused():
    class Merged(Headed):
        def forward(self, x):
            cells = self.features(self.stem(x)).permute(0, 2, 3, 1)
            scores = F.linear(cells.reshape(-1, 4), self.scores.weight[:, :, 0, 0], self.scores.bias)
            return scores.reshape(len(x), -1, 6).mean(1)

    with pytest.raises(ExplainError, match="2 pictures are 72 rows"):
        attribute(seeded(Merged), pictures(2, 6), [0], layer="features", method="excitation_backprop")


# --- values below zero ------------------------------------------------------------------------------------------------


class Shortcut(nn.Module):
    """y = relu(x + s·x) of positive pixels x, summed."""

    def __init__(self, s):
        super().__init__()
        self.features, self.branch = nn.Identity(), nn.Conv2d(1, 1, 1, bias=False)
        self.fc = nn.Linear(1, 1, bias=False)
        self.branch.weight.data.fill_(s)
        self.fc.weight.data.fill_(1.0)

    def forward(self, x):
        a = self.features(x)
        return self.fc(F.relu(a + self.branch(a)).mean((2, 3)))


@pytest.mark.parametrize(
    ("s", "signed", "of_branch", "of_features"),
    [
        (0.5, False, 1 / 3, 1.0),  # 1 : 0.5, and what the branch wins comes back by its positive weight
        (0.5, True, 1 / 3, 1.0),
        (-0.5, False, 0.0, 1.0),  # one summand is negative: the other wins all
        (-0.5, True, -1.0, 2.0),  # 1/(1 − 0.5) and −0.5/(1 − 0.5); nothing goes down a negative weight
    ],
)
def test_a_residual_sum_with_one_negative_summand(s, signed, of_branch, of_features):
    net, x = Shortcut(s), torch.tensor([[[[1.0, 3.0]]]])
    place = x[0, 0] / 4
    for layer, share in (("branch", of_branch), ("features", of_features)):
        got = attribute(net, x, [0], layer=layer, method="excitation_backprop", signed=signed)
        torch.testing.assert_close(got[0, 0], share * place)


def test_an_average_by_value():
    net = nn.Sequential(nn.Identity(), nn.AvgPool2d((1, 2)), nn.Flatten(), nn.Linear(1, 1))
    net[3].weight.data.fill_(1.0)
    x, how = torch.tensor([[[[3.0, -1.0]]]]), {"layer": "0", "method": "excitation_backprop"}
    torch.testing.assert_close(attribute(net, x, [0], **how)[0, 0], torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(attribute(net, x, [0], signed=True, **how)[0, 0], torch.tensor([[1.5, -0.5]]))


def test_a_layer_that_reads_values_below_zero():
    """2·3 and 2·(−1) of a sum of 4; by positive parts all is the first's."""
    net = nn.Sequential(nn.Identity(), nn.Conv2d(1, 1, (1, 2), bias=False), nn.Flatten(), nn.Linear(1, 1))
    net[1].weight.data.fill_(2.0)
    net[3].weight.data.fill_(1.0)
    x, how = torch.tensor([[[[3.0, -1.0]]]]), {"layer": "0", "method": "excitation_backprop"}
    torch.testing.assert_close(attribute(net, x, [0], **how)[0, 0], torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(attribute(net, x, [0], signed=True, **how)[0, 0], torch.tensor([[1.5, -0.5]]))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("part", ["left", "right"])
def test_a_concatenation_before_a_convolutional_head(part, signed):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for _ in range(2))
            self.scores = nn.Conv2d(6, 3, 1)

        def forward(self, x):
            return self.scores(torch.cat([self.left(x), self.right(x)], 1)).relu().mean((2, 3))

    net, x = seeded(Two), pictures(1, 6)
    target = int(net(x).argmax())
    with torch.no_grad():
        a = torch.cat([net.left(x), net.right(x)], 1)[0]
        z, shares = net.scores(a[None])[0, target].relu(), net.scores.weight[target].relu() * a
        p = z / z.sum() * shares / shares.sum(0).clamp(min=1e-12)
    expected = (p[:3] if part == "left" else p[3:]).sum(0)
    same(attribute(net, x, [target], layer=part, method="excitation_backprop", signed=signed)[0, 0], expected)


# --- shares keep their sum --------------------------------------------------------------------------------------------


class Convolutional(nn.Module):
    """A random network without biases whose head is a convolution: every winner has something positive below it."""

    def __init__(self, kinds, kernel, relu):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU())
        self.kinds, self.relu = kinds, relu
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in kinds)
        self.scores = nn.Conv2d(4, 3, kernel, bias=False)

    def forward(self, x):
        a = self.stem(x)
        for kind, block in zip(self.kinds, self.blocks, strict=True):
            b = block(a)
            a = F.relu(a + b) if kind == "residual" else F.avg_pool2d(b.relu(), 2, ceil_mode=True)
        z = self.scores(a)
        return (z.relu() if self.relu else z).mean((2, 3))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000), kinds=st.lists(st.sampled_from(["residual", "average"]), max_size=2),
    kernel=st.integers(1, 2), relu=st.booleans(), side=st.integers(8, 11),
)  # fmt: skip
def test_maps_sum_to_one_below_a_convolutional_head(seed, kinds, kernel, relu, side):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net, x = Convolutional(kinds, kernel, relu).double(), torch.randn(1, 3, side, side, dtype=torch.float64)
    scores = []
    handle = net.scores.register_forward_hook(lambda module, inputs, output: scores.append(output.detach()[0]))
    net(x)
    handle.remove()
    for target in (int(t) for t in torch.nonzero(scores[0].amax((1, 2)) > 1e-3)):
        got = attribute(net, x, [target], layer="stem", method="excitation_backprop")[0, 0].double()
        assert float(got.min()) >= 0
        assert math.isclose(float(got.sum()), 1, abs_tol=1e-5 * max(1.0, float(got.abs().sum())))
