"""Relevance mass and rank, on maps small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcam.evaluation.relevance import found, mass, rank


def test_mass_is_the_share_of_positive_relevance():
    heatmap = np.array([[4.0, 1.0], [-5.0, 3.0]])
    mask = np.array([[True, False], [True, False]])
    assert mass(heatmap, mask) == pytest.approx(4 / 8), "the −5 on the thing is no relevance"


def test_rank_is_the_share_of_the_largest_pixels():
    heatmap = np.array([[9.0, 8.0, 1.0], [2.0, 7.0, 3.0]])
    mask = np.array([[True, False, True], [True, False, False]])  # three pixels; the largest three are 9, 8, 7
    assert rank(heatmap, mask) == pytest.approx(1 / 3)


def test_an_even_map_gets_the_masks_share_of_the_picture():
    mask = np.zeros((10, 10), bool)
    mask[:2, :5] = True
    for value in (0.0, 3.0):
        assert rank(np.full((10, 10), value), mask) == pytest.approx(0.1)
    assert mass(np.full((10, 10), 3.0), mask) == pytest.approx(0.1)


def test_an_empty_map_has_no_mass_and_finds_nothing():
    mask = np.eye(4, dtype=bool)
    assert mass(np.zeros((4, 4)), mask) == 0
    assert mass(-np.ones((4, 4)), mask) == 0
    assert found(np.zeros((4, 4)), mask[None]) == 0


@given(st.integers(0, 10_000))
def test_rank_without_ties_is_what_sorting_says(seed):
    rng = np.random.default_rng(seed)
    heatmap, mask = rng.normal(size=(9, 7)), rng.random((9, 7)) < 0.3
    mask[0, 0] = True
    order = np.argsort(heatmap.ravel())[::-1][: mask.sum()]
    assert rank(heatmap, mask) == pytest.approx(mask.ravel()[order].mean())


@given(st.integers(0, 10_000), st.floats(0.1, 1000))
def test_scale_does_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    heatmap, mask = rng.normal(size=(6, 6)), rng.random((6, 6)) < 0.5
    mask[0, 0] = True
    assert mass(scale * heatmap, mask) == pytest.approx(mass(heatmap, mask))
    assert rank(scale * heatmap, mask) == pytest.approx(rank(heatmap, mask))


def test_things_are_found_where_the_map_is_highest():
    masks = np.zeros((2, 8, 8), bool)
    masks[0, :2, :2] = masks[1, 6:, 6:] = True
    both = np.zeros((8, 8))
    both[:2, :2], both[6:, 6:] = 5, 4
    one = np.zeros((8, 8))
    one[:2, :2] = 5
    spread = np.ones((8, 8))
    spread[3:5, 3:5] = 9
    spread[0, 3:7] = 9
    assert found(both, masks) == 1
    assert found(one, masks) == 0.5
    assert found(spread, masks) == 0, "a map that is lower on the things than elsewhere finds none"


def test_a_missing_thing_or_another_size_is_a_mistake():
    with pytest.raises(ValueError, match="The mask is empty"):
        mass(np.ones((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and the mask \(3, 2\)"):
        rank(np.ones((2, 2)), np.ones((3, 2), bool))
