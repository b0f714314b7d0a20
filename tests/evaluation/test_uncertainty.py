"""Standard errors and intervals, against scipy, statsmodels' formula by hand, and what resampling has to give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, sem

from mmcam.evaluation import bootstrap, mean

floats = arrays(np.float64, st.integers(2, 30), elements=st.floats(-1e3, 1e3))


@given(floats)
def test_of_one_map_a_picture_it_is_the_usual_standard_error(values):
    found = mean(values)
    assert found.value == pytest.approx(values.mean(), abs=1e-9)
    assert found.standard_error == pytest.approx(sem(values), abs=1e-9)
    assert (found.n, found.pictures, found.undefined) == (len(values), len(values), 0)


def test_maps_of_one_picture_count_as_one_source_of_error():
    # Pictures a (1, 1) and b (0): mean 2/3, sums of residuals 2/3 and -2/3, so √(2 · 2 · (2/3)²) / 3.
    found = mean([1, 1, 0], ["a", "a", "b"])
    assert found.value == pytest.approx(2 / 3)
    assert found.standard_error == pytest.approx(math.sqrt(2 * 2 * (2 / 3) ** 2) / 3)
    assert (found.n, found.pictures) == (3, 2)


@given(floats, st.integers(2, 5))
def test_copies_of_every_map_tell_nothing_new(values, copies):
    once, often = mean(values), mean(np.repeat(values, copies), np.repeat(np.arange(len(values)), copies).tolist())
    assert often.value == pytest.approx(once.value, abs=1e-9)
    assert often.standard_error == pytest.approx(once.standard_error, abs=1e-9)


def test_undefined_figures_are_left_out_and_counted():
    found = mean([1.0, math.nan, 3.0], [0, 1, 2])
    assert (found.value, found.n, found.pictures, found.undefined) == (2, 2, 2, 1)
    nothing = mean([math.nan])
    assert math.isnan(nothing.value)
    assert (nothing.n, nothing.undefined) == (0, 1)
    assert math.isnan(mean([5.0]).standard_error)


def test_what_has_no_mean_is_refused():
    with pytest.raises(ValueError, match="infinite"):
        mean([1.0, math.inf])
    with pytest.raises(ValueError, match="one picture a value"):
        mean([1.0, 2.0], ["a"])


def test_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(3).normal(5, 2, 400).tolist()
    found = bootstrap(values, lambda drawn: float(np.mean(drawn)), resamples=2000)
    wide = norm.ppf(0.975) * sem(values)
    assert found.value == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(np.mean(values) - wide, abs=0.1 * wide)
    assert found.high == pytest.approx(np.mean(values) + wide, abs=0.1 * wide)


def test_interval_is_the_same_with_the_same_seed_and_narrower_at_a_lower_level():
    values = list(range(20))
    by = lambda **more: bootstrap(values, lambda drawn: float(np.mean(drawn)), resamples=200, **more)  # noqa: E731
    assert by() == by()
    assert by(seed=1) != by(seed=2)
    assert by(level=0.5).high - by(level=0.5).low < by().high - by().low


def test_resamples_without_a_figure_are_left_out():
    def of_the_ones(drawn):
        own = [value for kind, value in drawn if kind == 1]
        return float(np.mean(own)) if own else math.nan

    found = bootstrap([(0, 9.0), (0, 9.0), (1, 2.0)], of_the_ones, resamples=50)
    assert (found.value, found.low, found.high) == (2, 2, 2)
    alone = bootstrap([1.0], lambda drawn: drawn[0])
    assert (alone.value, math.isnan(alone.low)) == (1, True)
    with pytest.raises(ValueError, match="no picture"):
        bootstrap([], lambda drawn: 0.0)
