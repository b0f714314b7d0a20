"""Colour maps, signed maps and strips."""

import numpy as np
import pytest
from PIL import Image

from mmcam.drawing.overlay import display_scale, draw_overlay, draw_signed
from mmcam.drawing.strip import draw_strip


@pytest.mark.parametrize("top", [1e-30, 1.0, 1e30])
def test_display_divides_by_the_maximum_and_nothing_else(top):
    """Trap 6: an added eps makes a weak map black; lifting the minimum to 0 is not done either."""
    heatmap = np.array([[0.5, 1.0], [0.25, -1.0]], dtype=np.float32) * np.float32(top)
    np.testing.assert_allclose(display_scale(heatmap), [[0.5, 1.0], [0.25, 0.0]], rtol=1e-6)


def test_an_empty_map_looks_empty():
    assert display_scale(np.zeros((2, 2))).max() == 0
    assert display_scale(-np.ones((2, 2))).max() == 0
    grey = Image.new("RGB", (2, 2), (9, 90, 200))
    assert draw_overlay(grey, -np.ones((2, 2))).tobytes() == grey.tobytes()


def test_a_uniform_map_is_not_cut_to_zero():
    assert display_scale(np.full((2, 2), 3.0)).min() == 1


def test_the_hottest_pixel_has_the_colour_maps_last_colour():
    from matplotlib import colormaps

    drawn = draw_overlay(Image.new("RGB", (2, 1)), np.array([[0.0, 7.0]]), alpha=1, cmap="turbo")
    assert drawn.getpixel((1, 0)) == tuple(round(255 * v) for v in colormaps["turbo"](1.0)[:3])
    assert drawn.getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises((ValueError, KeyError), match="nonsense"):
        draw_overlay(Image.new("RGB", (2, 1)), np.ones((1, 2)), cmap="nonsense")


def test_signed_maps_are_drawn_around_grey():
    values = np.zeros((3, 10, 10))
    values[0, 0, 0], values[1, 0, 0] = 2, -2
    drawn = draw_signed(values)
    assert drawn.getpixel((0, 0)) == (255, 0, 128)
    assert drawn.getpixel((5, 5)) == (128, 128, 128)
    assert draw_signed(np.zeros((3, 4, 4))).getextrema() == ((128, 128),) * 3
    assert draw_signed(np.zeros((1, 4, 5))).size == (5, 4)


def test_strips_keep_the_shape_of_pictures():
    wide = Image.new("RGB", (200, 50), "red")
    strip = draw_strip([(wide, "a word")] * 5, ["-1.00"] * 5, columns=3, side=112)
    assert strip.width == 3 * 112 + 4 * 4
    column = np.asarray(strip)[:, 60]
    red = (column == (255, 0, 0)).all(-1)
    assert red.sum() == 2 * 28  # two rows of pictures a quarter as high as wide


def test_strips_need_as_many_notes_as_panels():
    for panels, notes in (([], []), ([(Image.new("RGB", (3, 3)), "a")], [])):
        with pytest.raises(ValueError, match="needs panels and as many notes"):
            draw_strip(panels, notes)
