"""The means of faithfulness over pictures, counted by hand."""

import math

import numpy as np
import pytest

from experiments.lib import faithful_figures
from experiments.lib.tables import with_count


def test_figures_by_hand():
    """Two classes of one picture and one of another."""
    shares = {"insertion": [0, 0.5, 1], "deletion": [0, 0.5, 1], "road": [0, 0.3, 0.6]}

    def figures(seen, other):
        curve = {"insertion": [0, seen, 1], "deletion": [1, seen, 0], "road": [1, seen, 0.1]}
        one = {"occlusion": math.nan if seen == 0.2 else seen, "whole": 0.8, "seen": seen, **curve}
        return {"gradient": one, "gradcam": {**one, "seen": other}}

    records = [
        {"picture": "a", "shares": shares, "figures": [figures(0.4, 0.2), figures(0.2, 0.4)]},
        {"picture": "b", "shares": shares, "figures": [figures(0.9, 0.9)]},
    ]
    row = faithful_figures.summary("gradient", records)
    assert row["drop"].value == pytest.approx(100 * (0.5 + 0.75 + 0) / 3)
    assert row["increase"].value == pytest.approx(100 / 3)
    assert row["win"].value == pytest.approx(100 * (1 + 0 + 0.5) / 3)
    assert row["insertion"].value == pytest.approx(np.mean([(2 * seen + 1) / 4 for seen in (0.4, 0.2, 0.9)]))
    assert row["road"].value == pytest.approx(np.mean([(seen + 0.1) / 2 for seen in (0.4, 0.2, 0.9)]))
    assert (row["occlusion"].n, row["occlusion"].undefined, row["occlusion"].pictures) == (2, 1, 2)
    assert with_count(row["occlusion"], 2) == "0.65 ± 0.25 (2)"
    # Deviations from the mean increase of 33.3: −66.7 in picture a, 66.7 in b; √(2/1 · 2 · 66.7²)/3.
    assert row["increase"].standard_error == pytest.approx(2 * 200 / 3 / 3)
