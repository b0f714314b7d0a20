"""ILSVRC's localisation error: IoU against counted pixels and COCO's, errors against literal loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mmcam
from mmcam.evaluation.localisation import Error, Located, classified, errors, inclusive, iou, localised, share
from mmcam.image import Geometry

SIDE = st.tuples(st.integers(0, 14), st.integers(0, 14)).map(sorted)
BOX = st.tuples(SIDE, SIDE).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))
LABELS = st.sampled_from(["cat", "dog", "ox"])
PICTURE = st.builds(
    Located,
    st.lists(st.tuples(st.none() | BOX, LABELS), min_size=0, max_size=6),
    st.dictionaries(LABELS, st.lists(BOX, min_size=1, max_size=3), min_size=1, max_size=2),
    st.booleans(),
)


def pixels(box):
    """The pixels of a box, one by one."""
    left, top, right, bottom = box
    return {(x, y) for x in range(left, right + 1) for y in range(top, bottom + 1)}


@given(BOX, BOX)
def test_iou_counts_pixels(a, b):
    assert iou(a, b) == pytest.approx(len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b)), abs=1e-12)
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == 1


@given(BOX, BOX, st.integers(-3, 3), st.integers(-3, 3))
def test_counting_from_one_makes_no_difference(a, b, x, y):
    moved = [(left + x, top + y, right + x, bottom + y) for left, top, right, bottom in (a, b)]
    assert iou(*moved) == iou(a, b)


@given(st.lists(BOX, min_size=1, max_size=4), st.lists(BOX, min_size=1, max_size=4))
def test_iou_is_cocos_when_its_widths_count_the_last_pixel(found, true):
    mask = pytest.importorskip("pycocotools.mask")

    def widths(boxes):
        return np.array([(x0, y0, x1 - x0 + 1, y1 - y0 + 1) for x0, y0, x1, y1 in boxes], dtype=float)

    theirs = mask.iou(widths(found), widths(true), [0] * len(true))
    assert np.allclose([[iou(a, b) for b in true] for a in found], theirs)


def test_iou_by_hand():
    assert iou((0, 0, 9, 9), (0, 0, 9, 4)) == 0.5, "ten rows against five"
    assert iou((0, 0, 9, 9), (10, 0, 19, 9)) == 0, "neighbours share no pixel"
    assert iou((0, 0, 9, 9), (9, 9, 19, 19)) == 1 / (100 + 121 - 1), "the corner pixel belongs to both"
    assert iou((3, 3, 3, 3), (3, 3, 3, 3)) == 1, "a box of one pixel"


@pytest.mark.parametrize("box", [(5, 0, 4, 9), (0, 9, 9, 8), (0, 0, math.nan, 9), (0, 0, math.inf, 9)])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(ValueError, match="is no box"):
        iou(box, (0, 0, 9, 9))
    with pytest.raises(ValueError, match="is no box"):
        iou((0, 0, 9, 9), box)


def test_the_box_of_an_explanation_loses_the_pixel_behind_its_end():
    values = torch.zeros(6, 8)
    values[1:4, 2:7] = 1
    exp = mmcam.Explanation(
        "cat", 1.0, values, None, "layer", "gradcam", "Net", Image.new("RGB", (8, 6)), Geometry((6, 8), (6, 8))
    )
    assert inclusive(exp.box(0.15)) == (2, 1, 6, 3)
    assert len(pixels(inclusive(exp.box(0.15)))) == 15
    assert iou(inclusive(exp.box(0.15)), (2, 1, 6, 3)) == 1


def test_a_hit_needs_the_label_and_half_of_a_box():
    truth = {"cat": [(0, 0, 9, 9), (50, 50, 59, 59)]}
    right, half, less, second = (0, 0, 9, 9), (0, 0, 9, 4), (0, 0, 9, 3), (50, 50, 59, 58)
    assert localised(Located([(right, "cat")], truth))
    assert localised(Located([(half, "cat")], truth)), "an IoU of exactly one half is a hit"
    assert not localised(Located([(less, "cat")], truth))
    assert localised(Located([(second, "cat")], truth)), "any instance will do"
    assert not localised(Located([(right, "dog")], truth)), "the right box of a wrong class"
    assert not localised(Located([(None, "cat")], truth)), "an empty map finds nothing"
    assert classified(Located([(None, "cat")], truth)), "… but the class is right"
    wrong = [((70, 70, 79, 79), "cat")]
    assert not localised(Located([*wrong, (right, "dog")], truth)), "box and class have to be right together"


def test_only_the_first_k_count():
    predictions = [((0, 0, 9, 9), label) for label in ("a", "b", "c", "d", "e", "cat")]
    truth = {"cat": [(0, 0, 9, 9)]}
    assert not localised(Located(predictions, truth), 5)
    assert localised(Located(predictions, truth), 6)
    assert localised(Located(predictions[1:], truth), 5)
    assert not localised(Located(predictions[1:], truth), 1)
    assert not classified(Located(predictions, truth), 5)
    assert classified(Located(predictions[1:], truth), 5)
    for judge in (localised, classified):
        with pytest.raises(ValueError, match="at least one prediction has to count"):
            judge(Located(predictions, truth), 0)


@given(PICTURE, st.integers(1, 6))
def test_a_literal_loop_finds_the_same(picture, k):
    found = named = False
    for j in range(min(k, len(picture.predictions))):
        box, label = picture.predictions[j]
        if label in picture.truth:
            named = True
            for true in picture.truth[label]:
                if box is not None and 2 * len(pixels(box) & pixels(true)) >= len(pixels(box) | pixels(true)):
                    found = True
    assert localised(picture, k) == found
    assert classified(picture, k) == named


@given(st.lists(PICTURE, min_size=1, max_size=8))
def test_errors_are_means_over_pictures_and_the_blacklist_is_for_boxes_only(pictures):
    boxed = [picture for picture in pictures if not picture.blacklisted]
    if not boxed:
        with pytest.raises(ValueError, match="no picture"):
            errors(pictures)
        return
    made = errors(pictures)
    for k in (1, 5):
        named, found = made[f"classification top-{k}"], made[f"localisation top-{k}"]
        assert named.pictures == len(pictures)
        assert found.pictures == len(boxed)
        assert named.value == pytest.approx(sum(not classified(p, k) for p in pictures) / len(pictures))
        assert found.value == pytest.approx(sum(not localised(p, k) for p in boxed) / len(boxed))
    assert made["localisation top-5"].value <= made["localisation top-1"].value
    everywhere = errors(boxed)
    for k in (1, 5):
        assert everywhere[f"classification top-{k}"].value <= everywhere[f"localisation top-{k}"].value


def test_standard_errors():
    assert share([True, False, False, False]) == Error(0.25, pytest.approx(math.sqrt(0.25 * 0.75 / 4)), 4)
    outcomes = [True] * 30 + [False] * 70
    assert share(outcomes).standard_error == pytest.approx(np.std(outcomes) / 10)
    assert share([True]).standard_error == 0


def test_a_picture_without_a_box_is_refused():
    for truth in ({}, {"cat": []}, {"cat": [(0, 0, 1, 1)], "dog": []}):
        with pytest.raises(ValueError, match="leave this picture out"):
            localised(Located([((0, 0, 1, 1), "cat")], truth))
    assert errors([Located([], {"cat": []}, True), Located([], {"cat": [(0, 0, 1, 1)]})])["localisation top-1"] == (
        Error(1.0, 0.0, 1)
    ), "a blacklisted one needs no box"
