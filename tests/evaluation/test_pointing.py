"""The pointing game against a literal count of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcam.evaluation.pointing import (
    Offered,
    accuracy_with_rejection,
    centre,
    chance,
    class_mean,
    inside,
    peak,
    per_class,
    rejection_threshold,
)

OFFERED = st.builds(
    lambda maximum, present, hit: Offered(maximum / 4, present, present and hit),
    st.integers(0, 6), st.booleans(), st.booleans(),
)  # fmt: skip


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


def test_every_class_counts_the_same():
    labels, hits = ["cat", "dog", "cat", "cat", "cat"], [True, False, True, True, False]
    assert per_class(labels, hits) == {"cat": 0.75, "dog": 0}
    assert class_mean(labels, hits) == 0.375, "over the maps it would be .6"
    with pytest.raises(ValueError, match="5 labels and 4 hits"):
        class_mean(labels, hits[1:])
    with pytest.raises(ValueError, match="no map"):
        class_mean([], [])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_the_mean_over_classes_is_a_literal_loop(trials):
    labels, hits = zip(*trials, strict=True)
    shares = []
    for label in set(labels):
        own = [hit for other, hit in trials if other == label]
        shares.append(own.count(True) / len(own))
    assert class_mean(labels, hits) == pytest.approx(sum(shares) / len(shares))


def test_rejecting_an_absent_class_is_a_hit():
    there, missed, absent = Offered(3.0, True, True), Offered(2.0, True, False), Offered(1.0, False, False)
    game = [there, missed, absent]
    assert accuracy_with_rejection(game, 0) == 1 / 3, "nothing is rejected: only the first is right"
    assert accuracy_with_rejection(game, 1) == 1 / 3, "a maximum at the threshold is kept"
    assert accuracy_with_rejection(game, 1.5) == pytest.approx(2 / 3)
    assert accuracy_with_rejection(game, 2.5) == pytest.approx(2 / 3), "rejecting a class that is there is no hit"
    assert accuracy_with_rejection(game, np.inf) == pytest.approx(1 / 3), "all are rejected: only the absent one fits"
    assert rejection_threshold(game) == 2.0, "the lowest of those that are as good"


def test_balanced_rejecting_everything_is_right_in_half():
    game = [Offered(1.0, True, True)] + [Offered(1.0, False, False)] * 4
    assert accuracy_with_rejection(game, np.inf) == pytest.approx(0.8)
    assert accuracy_with_rejection(game, np.inf, balanced=True) == pytest.approx(0.5)
    assert rejection_threshold(game) == np.inf
    assert rejection_threshold(game, balanced=True) == 1.0, "keeping all is as good"
    for one_kind in (game[:1], game[1:]):
        with pytest.raises(ValueError, match="leave balanced= out"):
            accuracy_with_rejection(one_kind, 0, balanced=True)


@given(st.lists(OFFERED, min_size=1, max_size=12), st.booleans())
def test_no_threshold_is_better_than_the_chosen_one(game, balanced):
    if balanced and len({o.present for o in game}) == 1:
        return
    candidates = [i / 4 for i in range(7)] + [np.inf]
    accuracies = [accuracy_with_rejection(game, candidate, balanced) for candidate in candidates]
    chosen = rejection_threshold(game, balanced)
    assert accuracy_with_rejection(game, chosen, balanced) == pytest.approx(max(accuracies))
    assert chosen in [o.maximum for o in game] or chosen == np.inf
    as_good = [c for c, a in zip(candidates, accuracies, strict=True) if a == pytest.approx(max(accuracies), abs=1e-9)]
    # The lowest of those that differ: a threshold between two maxima does what the upper one does.
    rejected = [sum(o.maximum < candidate for o in game) for candidate in as_good]
    assert sum(o.maximum < chosen for o in game) == min(rejected)


@given(st.lists(OFFERED, min_size=1, max_size=12), st.integers(0, 7))
def test_the_modified_game_is_a_literal_loop(game, quarter):
    right = 0
    for o in game:
        if o.maximum < quarter / 4:
            right += not o.present
        else:
            right += o.hit
    assert accuracy_with_rejection(game, quarter / 4) == pytest.approx(right / len(game))


def test_what_cannot_be_offered_is_refused():
    with pytest.raises(ValueError, match="cannot be hit"):
        Offered(1.0, False, True)
    with pytest.raises(ValueError, match="not a number"):
        Offered(float("nan"), True, False)
    for judge in (lambda: accuracy_with_rejection([], 0), lambda: rejection_threshold([])):
        with pytest.raises(ValueError, match="No map is offered"):
            judge()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2.5, 15]))
def test_chance_is_the_share_of_pixels_that_would_hit(seed, tolerance):
    mask = np.random.default_rng(seed).random((7, 11)) < 0.05
    mask[3, 4] = True
    hits = [inside((x, y), mask, tolerance) for x in range(11) for y in range(7)]
    assert chance(mask, tolerance) == pytest.approx(np.mean(hits))


def test_the_peak_is_the_first_maximum_and_an_empty_map_has_none():
    heatmap = np.zeros((3, 5), np.float32)
    heatmap[1, 4] = heatmap[2, 0] = 2.0
    assert peak(heatmap) == (4, 1)
    assert peak(np.zeros((3, 5))) is None
    assert peak(np.full((3, 5), -1.0)) is None
    assert peak(np.full((3, 5), np.nan)) is None
