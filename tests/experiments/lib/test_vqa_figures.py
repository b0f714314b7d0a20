"""The figures of one map of an answer, counted by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from experiments.lib import vqa_figures, vqa_subjects


def test_people_agree_by_the_mean_over_pairs():
    one, two, three = np.random.default_rng(1).random((3, 14, 14))
    pairs = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in ((one, two), (one, three), (two, three))]
    assert vqa_figures.agreement([one, two, three]) == pytest.approx(np.mean(pairs))
    assert vqa_figures.agreement([one, one, -one]) == pytest.approx(-1 / 3)  # 1, -1, -1
    assert vqa_figures.agreement([one, two, np.zeros((14, 14))]) == pytest.approx(pairs[0]), "black maps have no ranks"
    assert np.isnan(vqa_figures.agreement([one]))
    assert np.isnan(vqa_figures.agreement([]))


def test_a_map_is_compared_with_each_person_and_the_mask():
    rng = np.random.default_rng(2)
    cam, occlusion, first, second = rng.random((4, 14, 14)).astype(np.float32)
    mask = np.zeros((28, 28), bool)
    mask[:, 14:] = True
    heatmap = np.ones((28, 28), np.float32)
    heatmap[3, 20] = 9
    case = vqa_subjects.Case(None, (first, second, np.zeros((14, 14))), mask, (None, False))
    found = vqa_figures.figures(torch.from_numpy(cam), heatmap, case, occlusion)
    each = [spearmanr(cam.ravel(), other.ravel()).statistic for other in (first, second)]
    assert found["attended"] == pytest.approx(np.mean(each))
    assert found["occlusion"] == pytest.approx(spearmanr(cam.ravel(), occlusion.ravel()).statistic)
    assert found["mass"] == pytest.approx((28 * 14 + 8) / (28 * 28 + 8))
    assert found["pointing"] == 1
    empty = vqa_figures.figures(torch.zeros(14, 14), np.zeros((28, 28)), case, occlusion)
    assert np.isnan(empty["occlusion"])
    assert empty["pointing"] == empty["mass"] == 0
