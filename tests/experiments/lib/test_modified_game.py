"""The modified pointing game on halves, counted by hand."""

import pytest

from experiments.lib.modified_game import halves, modified, spread
from experiments.lib.tables import with_error
from mmcam.evaluation import Offered


def test_each_half_is_judged_with_the_threshold_of_the_other():
    # Even pictures: rejecting below 5 is right twice. Odd ones: below 50.
    even = [Offered(1.0, False, False), Offered(5.0, True, True)]
    odd = [Offered(10.0, False, False), Offered(50.0, True, True)]
    found = modified([even, odd], balanced=False)
    assert found["thresholds"] == [50.0, 5.0], "the first half's is that of the second, and the other way round"
    # Even judged at 50: the absent one is rejected (right), the present one, too (wrong): 1 of 2. Odd judged at 5: the
    # absent one is kept (wrong), the present one kept and hit: 1 of 2.
    assert found["value"] == 0.5
    assert modified([even, odd], balanced=True)["value"] == 0.5


def test_rejecting_everything_is_said_so():
    absent = [[Offered(float(i), False, False)] for i in range(4)]
    found = modified(absent, balanced=False)
    assert found["thresholds"] == ["all", "all"]
    assert (found["value"], found["low"], found["high"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("offers", "balanced"), [([[], []], False), ([[Offered(1.0, True, True)], [Offered(1.0, False, False)]], True)]
)
def test_where_the_game_is_not_defined_there_is_no_figure(offers, balanced):
    assert modified(offers, balanced) == {"thresholds": None, "value": None, "low": None, "high": None}


def test_intervals_as_they_are_printed():
    assert halves("abcde") == (["a", "c", "e"], ["b", "d"])
    assert with_error(spread([0.5], lambda own: sum(own) / len(own)), 100, bounds=0) == "50.0"
    assert with_error(spread([1.0, 1.0], lambda own: sum(own) / len(own)), 100, bounds=0) == "100.0 (100–100)"
    assert with_error(spread([1.0], lambda own: float("nan")), 100, bounds=0) == ""
