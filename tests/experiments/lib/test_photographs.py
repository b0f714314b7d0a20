"""Stored photographs: resampled once at most, and maps over the pixels of the originals."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import mmcam
from experiments.lib.photographs import Photo, counted, over, spread

SQUASH = mmcam.Preprocess(size=(20, 20), mode="squash")
CROP = mmcam.Preprocess(size=(24, 24), mode="crop", resize=30)


@pytest.fixture
def photo(tmp_path):
    """Stored in 40×40 pixels, of an original of 100×60; noise, so that every resampling shows."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return Photo("a.png", tmp_path / "a.png", (100, 60), 0, ((10, 6, 49, 29),))


def test_a_network_that_squashes_reads_the_stored_file(photo):
    opened = photo.open(SQUASH)
    assert np.array_equal(np.asarray(opened), np.asarray(Image.open(photo.path)))


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (40, 40), (97, 61)])
def test_for_a_crop_it_is_resampled_once(photo, size):
    """The preparation of what is opened cuts and normalises, and resamples nothing."""
    own = Photo(photo.name, photo.path, size, 0, ())
    opened = own.open(CROP)
    short, long = 30, int(30 * max(size) / min(size))
    assert opened.size == ((long, short) if size[0] >= size[1] else (short, long))
    once = Image.open(photo.path).resize(opened.size, CROP.resample)
    assert np.array_equal(np.asarray(opened), np.asarray(once))
    top, left = (-round((side - 24) / 2) if side < 24 else round((side - 24) / 2) for side in opened.size[::-1])
    cut = np.asarray(once)[top : top + 24, left : left + 24]
    assert np.array_equal(np.asarray(CROP.denormalise(CROP(opened)[0])), cut)


@pytest.mark.parametrize("preprocess", [SQUASH, CROP], ids=["squash", "crop"])
def test_a_map_lies_over_the_original_where_the_network_saw_it(photo, preprocess):
    """As if the original had been opened: the geometry is the original's, whatever size was read."""

    class Bright(torch.nn.Module):
        def forward(self, x):
            return x.mean((1, 2, 3), keepdim=True)[:, :, 0, 0]

    opened = photo.open(preprocess)
    exp = mmcam.explain_class(Bright(), opened, 0, preprocess=preprocess, method="gradient_x_input")
    wide = spread(exp, preprocess, photo.size)
    original = Image.new("RGB", photo.size)
    assert wide.geometry == preprocess(original)[1] == over(preprocess, photo.size)
    assert wide.heatmap.shape == (60, 100)
    assert exp.heatmap.shape == opened.size[::-1]
    # The map of a picture of the original's aspect differs in nothing but its size.
    large = torch.nn.functional.interpolate(
        torch.from_numpy(exp.heatmap)[None, None], (60, 100), mode="bilinear", align_corners=False
    )
    assert np.corrcoef(large.flatten(), wide.heatmap.flatten())[0, 1] > 0.8


def test_how_many_there_are_is_counted(tmp_path):
    folder = tmp_path / "imagenet_val"
    folder.mkdir()
    (folder / "boxes.csv").write_text("file,orig_x0,orig_y0,orig_x1,orig_y1\n")
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "orig_width", "orig_height", "class_index"])
        rows.writerows([f"{i}.png", 100, 60, i] for i in range(7))
    assert counted(7, tmp_path) == "All 7"
    assert counted(3, tmp_path) == "The first 3 of 7"
