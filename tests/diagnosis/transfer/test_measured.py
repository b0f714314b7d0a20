"""Figures and calibration against scikit-learn and scipy, and with a planted truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from mmcam.diagnosis.transfer.calibration import calibration_error, sure_from, temperature_of
from mmcam.diagnosis.transfer.fitting import balanced, class_weights
from mmcam.diagnosis.transfer.measured import scores, share, wilson


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=12, max_size=40), st.integers(0, 9))
def test_figures_are_those_of_scikit_learn(pairs, seed):
    labels, predicted = (np.array(each) for each in zip(*[*pairs, (0, 0), (1, 1), (2, 2)], strict=True))
    likely = np.full((len(labels), 3), 0.1)
    likely[np.arange(len(labels)), predicted] = 0.8
    found = scores(likely, labels, list(map(str, range(len(labels)))), ("a", "b", "c"), seed)
    assert found["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert found["balanced_accuracy"]["value"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert balanced(torch.tensor(predicted), torch.tensor(labels), 3) == pytest.approx(
        found["balanced_accuracy"]["value"]
    )
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    for c, own in enumerate(found["classes"].values()):
        assert own["precision"]["value"] == pytest.approx(precision[c])
        assert own["recall"]["value"] == pytest.approx(recall[c])
        assert own["f1"]["value"] == pytest.approx(f1[c])
        assert own["pictures"] == support[c]
        others = labels != c
        assert own["specificity"]["value"] == pytest.approx(np.mean(predicted[others] != c))
        for figure in ("precision", "recall", "f1", "specificity"):
            assert own[figure]["low"] <= own[figure]["value"] + 1e-9
            assert own[figure]["value"] <= own[figure]["high"] + 1e-9


def test_wilsons_interval_is_scipys():
    for hits, n in ((0, 5), (3, 5), (5, 5), (18, 20)):
        found, other = wilson(hits / n, n), binomtest(hits, n).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=1e-4)
    assert math.isnan(wilson(math.nan, 0).value)


def test_groups_are_what_is_counted():
    """Ten views of each of three houses are three outcomes; all three found is not always found."""
    found = share(np.array([10, 10, 10]), np.array([10, 10, 10]))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(wilson(1.0, 3).low)
    assert found.low < 0.5
    # A group without such a picture does not count.
    assert share(np.array([1, 0]), np.array([2, 0])) == wilson(0.5, 1)


def test_a_planted_temperature_is_found():
    """Labels drawn from softmax(z); logits 3z are too sure by 3, and logits z / 4 not sure enough by 4."""
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(0, 2, (6000, 4)))
    labels = torch.tensor([rng.choice(4, p=row) for row in z.softmax(1).numpy()])
    for factor in (3.0, 0.25):
        assert temperature_of(z * factor, labels) == pytest.approx(factor, rel=0.08)
    sure = (z * 3).softmax(1).numpy()
    assert calibration_error(sure, labels.numpy()) > 3 * calibration_error(z.softmax(1).numpy(), labels.numpy())


@pytest.mark.parametrize("count", [4, 40, 400])
def test_few_pictures_that_are_all_told_right_make_nobody_sure(count):
    """The true class is then as likely as the believed share of its label and a part of the rest."""
    likely = 1 - 0.75 / (count + 2)
    temperature = temperature_of(torch.eye(4).repeat(count // 4, 1) * 5, torch.arange(4).repeat(count // 4))
    assert temperature == pytest.approx(5 / np.log(3 * likely / (1 - likely)), rel=1e-3)


def test_calibration_error_by_hand():
    likely = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    # In 0.9–1: one of two right, sure of 0.95; in 0.6–0.7: both right, sure of 0.65.
    assert calibration_error(likely, np.array([0, 1, 0, 1])) == pytest.approx((abs(1.9 - 1) + abs(1.3 - 2)) / 4)


def test_from_where_on_it_is_sure():
    likely = np.array([[0.99, 0.01], [0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.7, 0.3]])
    labels = np.array([0, 0, 0, 1, 0])
    assert sure_from(likely, labels, 0.95) == 0.9  # at 0.8 one of four is wrong, and equal ones stand together
    assert sure_from(likely, labels, 0.75) == 0.7
    assert sure_from(likely, 1 - labels, 0.95) == 1.0  # the surest is wrong: nothing is sure


def test_classes_count_alike():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = class_weights(labels, 3)
    sums = [float(weights[c] * (labels == c).sum()) for c in range(3)]
    assert sums == pytest.approx([10 / 3] * 3)
