"""Patches are literal crops around the places a dissection has noted."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmcam import ExplainError, PictureError
from mmcam.datasets.concepts import Concept
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.exemplars import lit, patches

SIZES = [(90, 60), (61, 97), (33, 33), (2, 40)]  # (width, height)


class Noise:
    name = "noise"
    concepts = (Concept("any", "thing"),)

    def __init__(self, broken=()):
        self.broken = broken

    def __len__(self):
        return len(SIZES)

    def picture(self, index):
        if index in self.broken:
            raise PictureError("broken")
        width, height = SIZES[index]
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def labels(self, index):
        return []


def made(exemplars, spots, peaks, thresholds):
    units = len(thresholds)
    return Dissection(
        concepts=Noise.concepts,
        thresholds=torch.tensor(thresholds),
        both=torch.zeros(units, 1, dtype=torch.long),
        active=torch.zeros(units, 1, dtype=torch.long),
        truth=torch.zeros(1, dtype=torch.long),
        exemplars=torch.tensor(exemplars),
        spots=torch.tensor(spots),
        peaks=torch.tensor(peaks),
        shape=(7, 7),
        layer="features",
        model="Any",
        data="noise",
        pictures=len(SIZES),
        quantile=0.005,
        sampled=1.0,
        skipped=(),
        fingerprint="",
    )


def one(exemplars, spots, peaks=None, threshold=0.5):
    return made([exemplars], [spots], [peaks or [3.0 - i / 10 for i in range(len(exemplars))]], [threshold])


@pytest.mark.parametrize(
    ("index", "spot", "box"),
    [
        (0, (0.5, 0.5), (35, 20, 55, 40)),  # of 90×60 pixels, 20 a side, around (45, 30)
        (0, (0.75, 0.25), (12, 35, 32, 55)),  # row 45, column 22.5
        (0, (0.0, 0.0), (0, 0, 20, 20)),
        (0, (1.0, 1.0), (70, 40, 90, 60)),
        (0, (0.9, 0.1), (0, 40, 20, 60)),
        (1, (0.5, 0.5), (20, 38, 40, 58)),  # of 61×97 pixels, 20 a side, around (30.5, 48.5)
        (2, (0.1, 0.9), (22, 0, 33, 11)),
        (3, (0.5, 1.0), (1, 20, 2, 21)),  # a picture of two columns has patches of one pixel
    ],
)
def test_a_patch_is_the_square_around_the_place(index, spot, box):
    (patch,) = patches(one([index], [spot]), Noise(), 0, side=box[2] - box[0])
    left, top, right, bottom = box
    pixels = np.asarray(Noise().picture(index))[top:bottom, left:right]
    np.testing.assert_array_equal(np.asarray(patch), pixels)


def test_patches_are_resized_and_the_strongest_come_first():
    spots = [[0.5, 0.5]] * 4
    found = patches(one([2, 0, 3, 1], spots), Noise(), 0, n=4, side=24)
    for patch, index in zip(found, [2, 0, 3, 1], strict=True):
        (alone,) = patches(one([index], [[0.5, 0.5]]), Noise(), 0, side=24)
        assert patch.size == (24, 24)
        assert patch.mode == "RGB"
        assert patch.tobytes() == alone.tobytes()
    literal = Noise().picture(2).crop((11, 11, 22, 22)).resize((24, 24), Image.Resampling.LANCZOS)
    assert found[0].tobytes() == literal.tobytes()
    assert patches(one([2], [[0.5, 0.5]]), Noise(), 0)[0].size == (64, 64)


@pytest.mark.parametrize(("n", "count"), [(0, 0), (1, 1), (3, 3), (9, 4)])
def test_as_many_as_asked_for_or_noted(n, count):
    dissection = one([0, 1, 2, 3], [[0.5, 0.5]] * 4)
    assert len(patches(dissection, Noise(), 0, n=n)) == count
    assert len(patches(dissection, Noise(), 0)) == 3


def test_places_that_were_never_noted_give_no_patch():
    dissection = one([0, -1, -1], [[0.5, 0.5]] * 3, [2.0, 9.0, float("-inf")])
    assert lit(dissection, 0) == [0]
    assert len(patches(dissection, Noise(), 0)) == 1


@pytest.mark.parametrize(
    ("peaks", "threshold", "ranks"),
    [
        ([0.0, 0.0], 0.0, []),  # dead behind a ReLU: the pictures noted for it are any
        ([1.0, 0.5], 0.5, [0]),  # only where it is above
        ([-1.0, -2.0], -3.0, [0, 1]),  # a unit may be active below 0
        ([-1.0, -2.0], -1.0, []),
        ([float("nan"), 1.0], 0.5, [1]),
    ],
)
def test_only_pictures_in_which_the_unit_is_active(peaks, threshold, ranks):
    dissection = one([0, 1], [[0.5, 0.5]] * 2, peaks, threshold)
    assert lit(dissection, 0) == ranks
    assert len(patches(dissection, Noise(), 0)) == len(ranks)


def test_pictures_that_cannot_be_read_give_way_to_the_next():
    dissection = one([0, 1, 2], [[0.5, 0.5]] * 3)
    found = patches(dissection, Noise(broken=[0]), 0, n=2)
    expected = patches(one([1, 2], [[0.5, 0.5]] * 2), Noise(), 0)
    assert [patch.tobytes() for patch in found] == [patch.tobytes() for patch in expected]
    assert patches(dissection, Noise(broken=[0, 1, 2]), 0) == []


def test_each_unit_has_its_own():
    dissection = made([[0], [1]], [[[0.5, 0.5]], [[0.2, 0.2]]], [[1.0], [5.0]], [0.5, 4.0])
    (patch,) = patches(dissection, Noise(), 1)
    (alone,) = patches(one([1], [[0.2, 0.2]]), Noise(), 0)
    assert patch.tobytes() == alone.tobytes()


@pytest.mark.parametrize("unit", [-1, 1])
def test_an_unknown_unit_is_refused(unit):
    with pytest.raises(ExplainError, match=f"There is no unit {unit}; features has units 0…0."):
        patches(one([0], [[0.5, 0.5]]), Noise(), unit)
