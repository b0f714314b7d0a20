"""Localisation errors and pointing of two pictures, counted by hand."""

import pytest
from records import record

from experiments.lib import located


def test_figures_by_hand():
    hit = record("a", [7, 1, 2, 3, 4], {"7": [[0, 0, 49, 39]]}, {n: [0, 0, 49, 39] for n in (7, 1, 2, 3, 4)})
    beside = record("b", [7, 1, 2, 3, 4], {"7": [[60, 50, 99, 79]]}, {n: [0, 0, 9, 9] for n in (7, 1, 2, 3, 4)})
    found = located.figures([hit, beside], tolerance=0)
    assert found["localisation top-1"]["value"] == found["localisation top-5"]["value"] == 0.5
    assert found["classification top-1"]["value"] == 0
    assert found["pointing"]["value"] == 0.5
    assert (found["pointing"]["low"], found["pointing"]["high"]) == (0, 1)
    assert found["pointing small"]["value"] == 0, "only b's box covers less than a quarter"
    assert found["by share"]["0.15"]["value"] == 0.5
    # Modified: keeping all is right once of 10 maps; rejecting all, as all maxima are equal, is right for 8 of 10.
    assert found["modified"]["value"] == pytest.approx(0.8)
