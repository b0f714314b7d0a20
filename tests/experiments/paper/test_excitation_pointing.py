"""The pointing game in TorchRay's convention: places of a sliding network, hits, and what one rule has more."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from experiments.lib.pointing_subjects import Subject
from experiments.lib.sliding import whole
from experiments.paper.excitation_pointing import CENTRE, Rule, accuracy, at, gains, play, score_of


def test_the_target_is_the_log_sum_exp_of_classes_and_places():
    scores = torch.randn(2, 5, 2, 3).requires_grad_()
    (slope,) = torch.autograd.grad(score_of([1, 4])(scores).sum(), scores)
    picked = scores.detach()[:, [1, 4]].exp()
    torch.testing.assert_close(slope[:, [1, 4]], picked / picked.sum((1, 2, 3), keepdim=True))
    assert float(slope[:, [0, 2, 3]].abs().max()) == 0


@pytest.mark.parametrize(
    ("size", "shape"), [((400, 200), (100, 200)), ((150, 300), (200, 100)), ((90, 91), (101, 100))]
)
def test_the_whole_picture_with_its_shorter_side_the_networks(size, shape):
    assert whole(Image.new("RGB", size), 100).shape == (1, 3, *shape)


def test_a_picture_is_played_by_every_rule():
    """The network sees brightness; the bright thing is hit, the dark one is not, and the middle hits neither."""
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.MaxPool2d(8)), nn.Conv2d(2, 2, 1)).eval()
    for layer in (model[0][0], model[1]):
        layer.weight.data.fill_(1.0)
        layer.bias.data.fill_(3.0)
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[4:20, 60:90] = 255
    bright, dark = np.zeros((2, 64, 96), bool)
    bright[4:20, 60:90] = True
    dark[50:60, 4:10] = True
    subject = Subject("one", lambda: Image.fromarray(pixels), lambda: {"lamp": bright, "hole": dark, "cat": dark}, 8)
    rules = [
        Rule("tiny", "0", "excitation_backprop"),
        Rule("tiny", "0", "excitation_backprop", (("over_cells", True),)),
    ]
    found = play(model, 64, rules, subject, {"lamp": [0], "hole": [1]})
    assert found.pop(CENTRE) == [("lamp", 0.0, True), ("hole", 0.0, True)]
    assert set(found) == {at(rule) for rule in rules}
    for trials in found.values():
        assert trials == [("lamp", 1.0, True), ("hole", 0.0, True)]


def test_accuracies_are_means_over_categories_and_gains_their_differences():
    first = [[("a", 1.0, False), ("b", 0.0, True)], [("a", 1.0, True)], [("a", 0.0, False)]]
    second = [[("a", 0.0, False), ("b", 1.0, True)], [("a", 1.0, True)], [("a", 0.0, False)]]
    assert accuracy(first, False) == pytest.approx((2 / 3 + 0) / 2)
    assert accuracy(first, True) == pytest.approx((1 + 0) / 2)
    assert gains(first, second)["pointing"]["value"] == pytest.approx(1 / 3 - 2 / 3)
    same = gains(first, first)["pointing"]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
