"""The rank correlation of two maps against scipy's, and what must hold for any maps."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, rankdata, spearmanr
from torch.nn import functional as F

from mmcam.evaluation.agreement import rank_correlation

SMALL = (3, 4)
NUMBERS = st.floats(-100, 100).map(lambda value: round(value, 3))  # no two so near that float64 makes them one
MAPS = arrays(np.float64, SMALL, elements=NUMBERS)


def correlation(first, second, size=SMALL):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns of constants; they are answered before
        return rank_correlation(first, second, size)


def differs(*maps):
    assume(all(values.max() > values.min() for values in maps))


# --- at equal size, whatever the maps ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(MAPS, MAPS)
def test_it_is_spearmans(first, second):
    differs(first, second)
    assert correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, SMALL, elements=st.integers(0, 3)), arrays(np.float64, SMALL, elements=st.integers(0, 3)))
def test_ties_share_their_mean_rank(first, second):
    """Which is Pearson's correlation of the mean ranks."""
    differs(first, second)
    a, b = (rankdata(values.ravel()) - 6.5 for values in (first, second))
    assert correlation(first, second) == pytest.approx(a @ b / math.sqrt((a @ a) * (b @ b)), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(MAPS, MAPS)
def test_it_is_symmetric_and_bounded(first, second):
    differs(first, second)
    value = correlation(first, second)
    assert value == pytest.approx(correlation(second, first), abs=1e-12)
    assert -1 - 1e-12 <= value <= 1 + 1e-12


@settings(max_examples=40, deadline=None)
@given(MAPS)
def test_a_map_agrees_with_itself_and_not_with_its_negative(values):
    differs(values)
    assert correlation(values, values) == pytest.approx(1)
    assert correlation(values, -values) == pytest.approx(-1)


@settings(max_examples=40, deadline=None)
@given(MAPS, MAPS, st.sampled_from([np.arctan, np.cbrt, lambda v: 3 * v + 7, lambda v: np.exp(v / 50), rankdata]))
def test_only_the_order_counts(first, second, rising):
    differs(first, second)
    changed = rising(first).reshape(SMALL)
    assert correlation(changed, second) == pytest.approx(correlation(first, second), abs=1e-12)
    assert correlation(-changed, second) == pytest.approx(-correlation(first, second), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(MAPS, st.floats(-1e6, 1e6))
def test_a_map_that_is_the_same_everywhere_has_no_ranks(values, constant):
    even = np.full(SMALL, constant)
    assert math.isnan(correlation(even, values))
    assert math.isnan(correlation(values, even))


# --- sizes ------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_maps_are_brought_to_one_size_by_averaging_areas(h, w, h2, w2, seed):
    random = np.random.default_rng(seed)
    first, second = random.random((h, w)), random.random((h2, w2))
    differs(first, second)
    # In float32, where averages of equal values are equal: their last bits in float64 would break the ties.
    cells = [F.adaptive_avg_pool2d(torch.from_numpy(values)[None], (14, 14)).float() for values in (first, second)]
    expected = spearmanr(*(values.flatten().numpy() for values in cells)).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, abs=1e-5)


def test_averages_by_hand():
    """Averages 2, 1, 0, 3 against 1, 2, 3, 4: the maxima, 9, 1, 0, 3, would tell another order."""
    first = np.array([[9, -5, 1, 1], [2, 2, 1, 1], [0, 0, 3, 3], [0, 0, 3, 3]], dtype=np.float32)
    second = np.array([[1, 2], [3, 4]])
    value = rank_correlation(first, second, (2, 2))
    assert value == pytest.approx(1 - 6 * (4 + 0 + 4 + 0) / (4 * 15))
    assert rank_correlation(second, first, (2, 2)) == pytest.approx(value)
    assert rank_correlation(first, second.repeat(2, 0).repeat(2, 1), (2, 2)) == pytest.approx(value)


def test_a_size_that_is_not_square_is_height_and_width():
    first, second = np.arange(24.0).reshape(4, 6), np.arange(24.0).reshape(4, 6)[:, ::-1]
    cells = [values.reshape(2, 2, 6).mean(1) for values in (first, second)]
    expected = spearmanr(cells[0].ravel(), cells[1].ravel()).statistic
    assert rank_correlation(first, second, (2, 6)) == pytest.approx(expected)


def test_14_by_14_unless_told_otherwise():
    random = np.random.default_rng(0)
    first, second = random.random((28, 28)), random.random((28, 28))
    cells = [values.reshape(14, 2, 14, 2).mean((1, 3)).ravel() for values in (first, second)]
    assert rank_correlation(first, second) == pytest.approx(spearmanr(*cells).statistic)
    assert rank_correlation(first, second) != pytest.approx(kendalltau(*cells).statistic)


@pytest.mark.parametrize("side", [7, 14, 28, 50, 96])
@pytest.mark.parametrize("constant", [0.0, 0.02, 0.1, 1 / 49, -3.3, 1e-30])
def test_a_constant_map_stays_one_whatever_its_size(side, constant):
    """Averaging rounds, and ranks of roundings would be anything."""
    other = np.random.default_rng(0).random((side, side))
    assert math.isnan(correlation(np.full((side, side), constant), other, (14, 14)))
    assert math.isnan(correlation(other, torch.full((side, side), constant), (14, 14)))


@pytest.mark.parametrize("side", [28, 50, 96])
def test_what_is_equal_stays_so_when_it_is_averaged(side):
    """Whole numbers are averaged exactly, tenths of them are not."""
    halves, other = np.zeros((side, side)), np.random.default_rng(0).random((side, side))
    halves[:, side // 2 :] = 7
    value = rank_correlation(halves, other)
    assert rank_correlation(halves / 10 + 0.1, other) == pytest.approx(value, abs=1e-12)
    assert rank_correlation(other, torch.from_numpy(halves).float() / 70) == pytest.approx(value, abs=1e-12)


def test_a_map_that_averages_to_a_constant_has_no_ranks():
    chequered = np.indices((28, 28)).sum(0) % 2
    assert math.isnan(correlation(chequered, np.random.default_rng(0).random((28, 28)), (14, 14)))


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.float16, np.float32, np.float64, np.uint8, np.int32, bool, ">f4"])
def test_arrays_of_every_kind(form):
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 3, (14, 14)).astype(form) for _ in range(2))
    expected = spearmanr(first.ravel(), second.ravel()).statistic
    assert correlation(first, second, (14, 14)) == pytest.approx(expected)


def test_views_turned_round():
    values = np.random.default_rng(0).random((14, 14))
    assert rank_correlation(values[::-1, ::-1], values[::-1, ::-1].copy()) == pytest.approx(1)
    assert rank_correlation(values.T, torch.from_numpy(values).T) == pytest.approx(1)


def test_tensors_are_not_touched_and_may_have_a_graph():
    first = torch.rand(7, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    second = torch.rand(7, 7, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        within = rank_correlation(first, second.clone().half())
    before = second.clone()
    value = rank_correlation(first * 2, second)
    assert type(value) is float
    assert value == pytest.approx(spearmanr(first.detach().flatten(), second.flatten()).statistic, abs=1e-9)
    assert within == pytest.approx(value, abs=1e-2)
    assert torch.equal(second, before)
    assert first.grad is None


def test_a_map_that_is_not_finite_has_no_ranks():
    values = np.random.default_rng(0).random((14, 14))
    broken = values.copy()
    broken[3, 3] = np.nan
    assert math.isnan(rank_correlation(broken, values))


@pytest.mark.parametrize("shape", [(3, 8, 8), (8,), (), (0, 8), (1, 1, 8, 8)])
def test_what_is_no_map(shape):
    values = np.arange(64.0).reshape(8, 8)
    for pair in ((np.ones(shape), values), (values, torch.ones(shape))):
        with pytest.raises(ValueError) as error:
            rank_correlation(*pair)
        assert str(error.value) == f"A map has shape (h,w), not {shape}; of a pixel map, take Explanation.cam."
