"""Inside over outside, on maps small enough to work out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.evaluation.inside_outside import box_mask, inside_outside

quick = settings(deadline=None)  # a busy machine is not a failure
CORNER = np.array([[True, False, False], [True, False, False]])


def test_the_ratio_of_the_means():
    heatmap = np.array([[9.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    assert inside_outside(heatmap, CORNER) == pytest.approx(6 / 3)
    assert inside_outside(heatmap, ~CORNER) == pytest.approx(3 / 6)


@quick
@given(st.floats(1e-300, 1e300), st.integers(1, 98), st.sampled_from([np.float64, np.float32]))
def test_an_even_map_gives_exactly_one(value, count, kind):
    mask = np.arange(99).reshape(9, 11) < count
    heatmap = np.full((9, 11), np.clip(value, 1e-37, 1e37), kind)
    assert inside_outside(heatmap, mask) == 1.0


@quick
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_scale_does_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    heatmap, mask = rng.random((7, 5)), rng.random((7, 5)) < 0.4
    mask[0, 0], mask[0, 1] = True, False
    assert inside_outside(scale * heatmap, mask) == pytest.approx(inside_outside(heatmap, mask))
    assert inside_outside(heatmap, mask) * inside_outside(heatmap, ~mask) == pytest.approx(1)


def test_all_inside_all_outside_and_nothing():
    heatmap = CORNER.astype(np.float32)
    assert inside_outside(heatmap, CORNER) == math.inf
    assert inside_outside(heatmap, ~CORNER) == 0
    assert math.isnan(inside_outside(np.zeros((2, 3)), CORNER)), "an empty map says nothing of either side"


def test_float16_is_averaged_in_full():
    heatmap = np.ones((300, 300), np.float16)  # the sum is beyond float16
    mask = np.zeros((300, 300), bool)
    mask[:150] = True
    heatmap[:150] = 3
    assert inside_outside(heatmap, mask) == pytest.approx(3)


def test_what_has_no_ratio_is_refused():
    heatmap = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and the mask \(3, 2\)"):
        inside_outside(heatmap, np.ones((3, 2), bool))
    with pytest.raises(ValueError, match="The mask is empty"):
        inside_outside(heatmap, np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="The mask is everything"):
        inside_outside(heatmap, np.ones((2, 3), bool))
    for value in (-1e-9, np.nan, np.inf):
        heatmap[1, 1] = value
        with pytest.raises(ValueError, match="negative, infinite or undefined values; pass the magnitude"):
            inside_outside(heatmap, CORNER)


def test_a_box_holds_the_pixels_whose_centres_it_holds():
    mask = box_mask((1, 0, 3, 2), (4, 3))
    assert mask.tolist() == [[False, True, True, False], [False, True, True, False], [False] * 4]
    assert box_mask((0.5, 0.5, 2.5, 2.5), (4, 3)).tolist() == [
        [True, True, False, False],  # the centre 0.5 is in, 2.5 no more
        [True, True, False, False],
        [False] * 4,
    ]
    assert not box_mask((0.6, 0, 1.4, 3), (4, 3)).any(), "too thin for a centre"


@quick
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_box_of_whole_pixels_has_its_area(left, top, right, bottom):
    mask = box_mask((left, top, right, bottom), (8, 6))
    assert mask.shape == (6, 8)
    assert mask.sum() == max(0, min(right, 8) - min(left, 8)) * max(0, min(bottom, 6) - min(top, 6))


def test_the_picture_bounds_a_box():
    assert box_mask((-5, -5, 50, 50), (4, 3)).all()
    assert not box_mask((5, 0, 9, 3), (4, 3)).any()
