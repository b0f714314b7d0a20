"""Large pictures are worked on a few rows at a time, with the same result."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image
from torch.nn import functional as F

from mmcam import Geometry, Preprocess
from mmcam.drawing import overlay
from mmcam.image import geometry


@pytest.fixture(autouse=True, scope="module")
def narrow():
    """Bands of one to three rows."""
    before = geometry.BAND, overlay.BAND
    geometry.BAND = overlay.BAND = 70
    yield
    geometry.BAND, overlay.BAND = before


def at_once(where: Geometry, maps: torch.Tensor) -> torch.Tensor:
    """All pixels' positions in one grid."""
    steps = [
        ((torch.arange(n, dtype=torch.float64) + 0.5) * scale + offset) / full
        for n, scale, offset, full in zip(where.original, where.scale, where.offset, where.input, strict=True)
    ]
    ys, xs = (step.float() for step in steps)
    grid = torch.stack([(2 * xs - 1).expand(len(ys), -1), (2 * ys - 1)[:, None].expand(-1, len(xs))], -1)[None]
    sampled = F.grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0]
    return sampled * (((ys >= 0) & (ys <= 1))[:, None] & ((xs >= 0) & (xs <= 1)))


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 90)),
    mode=st.sampled_from(["squash", "crop", "pad"]),
    channels=st.integers(1, 3),
)
def test_maps_over_the_picture(size, mode, channels):
    where = Preprocess(size=(24, 32), mode=mode).geometry(*size)
    maps = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(where.to_original(maps), at_once(where, maps))


@settings(deadline=None, max_examples=40)
@given(
    h=st.integers(1, 40),
    w=st.integers(1, 90),
    alpha=st.sampled_from([0, 0.3, 1.0]),
    cmap=st.sampled_from(["turbo", "bwr"]),
)
def test_overlays(h, w, alpha, cmap):
    rng = np.random.default_rng(h * w)
    picture = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    heatmap = rng.normal(size=(h, w)).astype(np.float32)
    heat = np.clip(heatmap, 0, None) / float(heatmap.max()) if heatmap.max() > 0 else np.zeros_like(heatmap)
    opacity = (alpha * np.sqrt(heat))[..., None]
    mixed = picture.astype(np.float64) * (1 - opacity) + 255 * colormaps[cmap](heat)[..., :3] * opacity
    drawn = overlay.draw_overlay(Image.fromarray(picture), heatmap, alpha=alpha, cmap=cmap)
    assert np.array_equal(np.asarray(drawn), mixed.round().clip(0, 255).astype(np.uint8))


@settings(deadline=None, max_examples=20)
@given(h=st.integers(1, 40), w=st.integers(1, 90), channels=st.sampled_from([1, 3, 4]))
def test_signed_maps(h, w, channels):
    values = np.random.default_rng(h * w).normal(size=(channels, h, w)).astype(np.float32)
    kept = values.copy()
    drawn = np.asarray(overlay.draw_signed(values)).astype(int)
    assert np.array_equal(values, kept)
    strongest = np.take_along_axis(values, np.abs(values).argmax(0)[None], 0)
    scaled = (values if channels == 3 else strongest) / float(np.percentile(np.abs(values), 99))
    pixels = (127.5 + 127.5 * scaled).clip(0, 255).round().transpose(1, 2, 0)
    assert np.array_equal(drawn, np.broadcast_to(pixels, (h, w, 3)).astype(int))


def test_an_overlay_costs_little_more_than_its_picture():
    """Numbers as wide as colours are mixed in would be 64 bytes a pixel and more."""
    picture, heatmap = Image.new("RGB", (3000, 1000)), np.ones((1000, 3000), np.float32)
    overlay.draw_overlay(picture, heatmap)  # matplotlib's tables
    overlay.BAND = 2**16
    tracemalloc.start()
    try:
        overlay.draw_overlay(picture, heatmap)
        assert tracemalloc.get_traced_memory()[1] < 12 * 3_000_000
    finally:
        tracemalloc.stop()
        overlay.BAND = 70
