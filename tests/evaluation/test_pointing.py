"""The pointing game against a literal count of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcam.evaluation.pointing import centre, chance, inside


@given(st.integers(0, 11), st.integers(0, 8), st.integers(0, 5), st.integers(0, 2**31))
def test_a_hit_is_a_true_pixel_within_the_disk(x, y, tolerance, seed):
    mask = np.random.default_rng(seed).random((9, 12)) < 0.05
    mask[4, 6] = True
    literal = any(
        mask[row, column] and (row - y) ** 2 + (column - x) ** 2 <= tolerance**2
        for row in range(9)
        for column in range(12)
    )
    assert inside((x, y), mask, tolerance) == literal


def test_an_empty_map_points_nowhere_and_misses():
    assert not inside(None, np.ones((3, 3), dtype=bool))


def test_an_empty_mask_is_no_game():
    with pytest.raises(ValueError, match="leave this picture out"):
        inside((0, 0), np.zeros((3, 3), dtype=bool))


def test_a_peak_of_another_size_is_refused():
    with pytest.raises(ValueError, match="outside"):
        inside((5, 0), np.ones((3, 3), dtype=bool))


def test_baselines():
    mask = np.zeros((4, 6), dtype=bool)
    mask[2, 3] = True
    assert centre(mask) == (3, 2)
    assert inside(centre(mask), mask)
    assert chance(mask) == 1 / 24
