"""Masks and boxes: against other implementations, at odd thresholds, of odd and of large maps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import ndimage
from tiny import SMALL, Deep, seeded

import mmcam
from mmcam import ExplainError, Explanation, Geometry
from mmcam.explanation.segments import BLUR, smoothed


def explanation(values, size=None, geometry=None) -> Explanation:
    values = torch.as_tensor(np.asarray(values), dtype=torch.float32)
    width, height = size or values.shape[:-3:-1]
    h, w = values.shape[-2:]
    geometry = geometry or Geometry((height, width), (h, w), (h / height, w / width))
    return Explanation(
        target="dog", score=1.0, values=values, weights=None, layer="layer4", method="gradcam", model="Net",
        image=Image.new("RGB", (width, height)), geometry=geometry,
    )  # fmt: skip


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MAPS = arrays.arrays(np.float32, SHAPES, elements=st.integers(-3, 9).map(float))


@settings(deadline=None)
@given(values=MAPS, threshold=st.sampled_from([0.0, 0.15, 0.5, 1.0]))
def test_masks_and_boxes_follow_from_the_definition(values, threshold):
    exp = explanation(values)
    mask, boxes = exp.mask(threshold), exp.boxes(threshold)
    assert mask.dtype == bool
    assert mask.shape == values.shape
    if values.max() <= 0:
        assert not mask.any()
        assert boxes == []
        assert exp.box(threshold) is None
        return
    assert np.array_equal(mask, exp.heatmap >= threshold * exp.heatmap.max())
    covered = np.zeros_like(mask)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] = True
        part = mask[top:bottom, left:right]
        assert all(edge.any() for edge in (part[0], part[-1], part[:, 0], part[:, -1])), "no box is too large"
    assert (covered | ~mask).all(), "every pixel of the mask lies in a box"
    assert len(boxes) == ndimage.label(mask, np.ones((3, 3)))[1]
    assert exp.box(threshold) == boxes[0]


def test_the_larger_segment_comes_first():
    values = np.zeros((6, 8))
    values[0, :2], values[3:5, 3:5], values[5, 7] = 1, 1, 9
    assert explanation(values).boxes(0.1) == [(3, 3, 5, 5), (0, 0, 2, 1), (7, 5, 8, 6)]


def test_a_peak_outside_the_box_is_told():
    """The box is that of the largest segment, as in the paper; a hot spot beside it is not passed over in silence."""
    values = np.zeros((6, 8))
    values[3:5, 3:5], values[0, 7] = 1, 2
    exp = explanation(values)
    assert exp.box() == (3, 3, 5, 5)
    assert exp.peak() == (7, 0)
    assert exp.peak_in_box() is False
    assert exp.summary()["peak_in_box"] is False
    assert any(left <= 7 < right and top <= 0 < bottom for left, top, right, bottom in exp.boxes())
    told = " ".join(text.get_text() for text in exp.figure(box=True, peak=True, dpi=60).texts)
    assert "lies outside the box" in told
    assert explanation(np.diag([3.0, 1, 1])).peak_in_box() is True
    assert explanation(np.zeros((3, 3))).peak_in_box() is None


@settings(deadline=None)
@given(values=MAPS)
def test_some_box_holds_the_peak(values):
    exp = explanation(values)
    if (peak := exp.peak()) is None:
        return
    for threshold in (0.0, 0.15, 1.0):
        inside = [b[0] <= peak[0] < b[2] and b[1] <= peak[1] < b[3] for b in exp.boxes(threshold)]
        assert any(inside)
        assert exp.peak_in_box(threshold) == inside[0]


@pytest.mark.parametrize("threshold", [True, False, np.True_, math.nan, -0.1, 1.01, "0.5", None, 1j, [0.1]])
@pytest.mark.parametrize("what", ["mask", "boxes", "box", "peak_in_box"])
def test_odd_thresholds(what, threshold):
    with pytest.raises(ExplainError, match="a share of the maximum from 0 to 1"):
        getattr(explanation(np.eye(3)), what)(threshold)


@pytest.mark.parametrize("threshold", [0, 1, np.float32(0.5), np.int64(1)])
def test_every_kind_of_number_is_a_threshold(threshold):
    assert explanation(np.eye(3)).mask(threshold).any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_maps_that_are_not_finite_have_no_mask(bad):
    exp = explanation([[1, bad], [0, 1]])
    assert not exp.mask().any()
    assert exp.boxes() == []
    assert exp.peak_in_box() is None


@pytest.mark.parametrize("size", [(1, 1), (5, 4)])
def test_flat_maps(size):
    exp = explanation(np.full(size[::-1], 2.0), size)
    assert exp.mask().all()
    assert exp.boxes() == [(0, 0, *size)]
    assert exp.peak() is None
    assert exp.peak_in_box() is None


def test_the_least_of_numbers_has_a_mask_of_its_own():
    """A share of it is 0 in single precision, and 0 is what the rest of the map is."""
    values = np.zeros((3, 3), np.float32)
    values[1, 1] = 1e-45
    assert explanation(values).mask().sum() == 1


def test_what_a_crop_never_showed_is_in_no_mask():
    where = Geometry((4, 12), (4, 4), (1.0, 1.0), (0.0, -4.0))
    exp = explanation(np.full((4, 4), 3.0), (12, 4), where)
    assert where.shown() == (4, 0, 8, 4)
    assert exp.boxes(0) == [(4, 0, 8, 4)]
    assert exp.mask(0).sum() == 16


@settings(deadline=None)
@given(
    original=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(["squash", "crop", "pad"]),
    resize=st.sampled_from([None, 20]),
)
def test_what_was_shown_is_where_a_map_of_ones_is_one(original, mode, resize):
    more = {} if resize is None or mode != "crop" else {"resize": resize}
    where = mmcam.Preprocess(size=(16, 12), mode=mode, **more)
    geometry = where.geometry(*original)
    left, top, right, bottom = geometry.shown()
    ones = geometry.to_original(torch.ones(3, 3)).numpy()
    inside = np.zeros(original, bool)
    inside[top:bottom, left:right] = True
    assert np.array_equal(ones > 0.5, inside)


def test_a_smaller_picture_lies_as_the_large_one():
    where = mmcam.Preprocess(size=(16, 12), mode="squash").geometry(400, 300)
    small = where.resized(40, 30)
    ramp = torch.arange(48.0).view(6, 8)
    large = where.to_original(ramp).numpy().reshape(40, 10, 30, 10).mean((1, 3))
    np.testing.assert_allclose(small.to_original(ramp).numpy(), large, atol=0.1)


# --- maps of pixels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (64, 64), (200, 120)])
def test_the_smoothing_is_a_gaussian(size):
    magnitude = np.random.default_rng(0).random(size).astype(np.float32)
    deviation = BLUR * max(size)
    expected = ndimage.gaussian_filter(magnitude, deviation, mode="nearest", radius=math.ceil(3 * deviation))
    np.testing.assert_allclose(smoothed(torch.from_numpy(magnitude)).numpy(), expected, atol=1e-5)


def test_the_box_of_a_gradient_is_that_of_a_thing_and_not_of_a_pixel():
    rng = np.random.default_rng(0)
    values = np.zeros((3, 100, 100))
    values[:, 20:50, 30:70] = rng.normal(size=(3, 30, 40))
    values[0, 90, 5] = 6  # one pixel that is stronger than any other
    exp = explanation(values)
    left, top, right, bottom = exp.box(0.5)
    assert abs(left - 30) <= 4
    assert abs(top - 20) <= 4
    assert abs(right - 70) <= 4
    assert abs(bottom - 50) <= 4
    assert exp.peak_in_box()
    assert exp.heatmap[90, 5] == pytest.approx(6, rel=1e-5), "the heatmap is as it was"


def test_a_gradient_of_a_network_has_boxes():
    exp = mmcam.explain_class(seeded(Deep, 32), Image.radial_gradient("L").convert("RGB"), 0,
                              method="gradient", preprocess=SMALL)  # fmt: skip
    assert exp.values.ndim == 3
    assert exp.boxes(0.5)
    assert exp.summary()["box"] is not None


# --- large pictures ---------------------------------------------------------------------------------------------------


def test_a_photograph_of_twelve_megapixels():
    ramp = np.zeros((7, 7))
    ramp[1:3, 1:3], ramp[5, 5] = 1, 0.8
    exp = explanation(ramp, (4000, 3000))
    boxes = exp.boxes(0.5)
    assert len(boxes) == 2
    left, top, right, bottom = boxes[0]
    assert abs((left + right) / 2 - 2 / 7 * 4000) < 2
    assert abs((top + bottom) / 2 - 2 / 7 * 3000) < 2
    assert exp.mask(0.5).shape == (3000, 4000)
    figure = replace(exp).figure(dpi=100)
    assert max(axes.images[0].get_array().shape[0] for axes in figure.axes) <= 240
