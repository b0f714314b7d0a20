"""Network Dissection against a slow one that does literally what the paper says, on pictures made up here."""

import copy
import importlib
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from state import State
from tiny import SMALL, VQA, Captioner, Deep, Gap, Noisy, mixed, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, Preprocess
from mmcam.datasets.concepts import Concept
from mmcam.errors import PictureError
from mmcam.neurons.dissect import dissect
from models import load

module = importlib.import_module("mmcam.neurons.dissect")

OBLONG = Preprocess(size=(12, 20), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SQUASH = Preprocess(size=(16, 16), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
CROP = Preprocess(size=(16, 16), mode="crop", resize=24, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
COUNTED = ("both", "active", "truth")
TENSORS = ("thresholds", *COUNTED, "exemplars", "spots", "peaks")


class Made:
    """Pictures and labels in memory; an index in `broken` or `unlabelled` has no picture or no labels to be read."""

    def __init__(self, concepts, pictures, labels, broken=(), unlabelled=(), name="made up"):
        self.name, self.concepts, self.pictures, self.labelled = name, concepts, pictures, labels
        self.broken, self.unlabelled = broken, unlabelled
        self.opened = []  # in this order
        self.stop = None  # so many pictures can be opened before someone loses patience

    def __len__(self):
        return len(self.pictures)

    def picture(self, index):
        if self.stop is not None and len(self.opened) >= self.stop:
            raise KeyboardInterrupt
        self.opened.append(index)
        if index in self.broken:
            raise PictureError(f"Picture {index} is broken.")
        return self.pictures[index]

    def labels(self, index):
        if index in self.unlabelled:
            raise PictureError(f"Labels {index} are broken.")
        return self.labelled[index]

    def without(self, *indices):
        kept = [i for i in range(len(self)) if i not in indices]
        return Made(self.concepts, [self.pictures[i] for i in kept], [self.labelled[i] for i in kept])


def blotches(rng, size, numbers):
    """A label map in rectangles, much of it 0."""
    labels = np.zeros(size, dtype=rng.choice([np.uint8, np.uint16, np.int64]))
    for number in numbers:
        top, left = rng.integers(0, size[0] - 3), rng.integers(0, size[1] - 3)
        labels[top : top + rng.integers(2, size[0]), left : left + rng.integers(2, size[1])] = number
    return labels


def photograph(rng, size):
    """Smooth noise with a little rough noise, (h,w)."""
    rough = Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize(size[::-1], Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((smooth + rng.integers(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8))


CONCEPTS = tuple(
    Concept(name, category)
    for category, names in {
        "object": ("dog", "cat", "tree"),
        "part": ("ear", "tail"),
        "colour": ("red", "green"),
        "scene": ("beach", "street"),
        "texture": ("striped",),
    }.items()
    for name in names
)


def made(n=10, seed=0, size=None):
    """Pictures of several sizes; objects and overlapping parts, colours at another resolution, scenes, and gaps."""
    rng = np.random.default_rng(seed)
    pictures, labels = [], []
    for index in range(n):
        h, w = size or (int(rng.integers(24, 40)), int(rng.integers(24, 40)))
        half, third = ((h + 1) // 2, (w + 1) // 2), (h // 3, w // 3)
        layers = [blotches(rng, half, (1, 2, 3)[: rng.integers(1, 4)])]
        if index % 3:
            layers.append(blotches(rng, half, (4, 5)))
        if index % 4 == 1:
            layers.append(blotches(rng, third, (6, 7)))
        if index % 5 == 2:
            layers = []  # labelled as a whole only
        if index % 2:
            layers.insert(int(rng.integers(0, len(layers) + 1)), int(rng.integers(8, 10)))
        if index % 4 == 3:
            layers += [np.int64(10), 0, np.zeros(half, np.uint8)]
        pictures.append(photograph(rng, (h, w)))
        labels.append(layers)
    return Made(CONCEPTS, pictures, labels)


# --- literally --------------------------------------------------------------------------------------------------------


def layer_maps(model, data, layer, preprocess):
    """What a plain hook sees, all pictures at once: (N,K,h,w)."""
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        model(torch.stack([preprocess(data.picture(i))[0] for i in range(len(data))]))
    handle.remove()
    return seen[0]


def literal_thresholds(maps, quantile):
    """All values of each unit sorted; ⌊quantile·V⌋ of them are above."""
    found = []
    for unit in range(maps.shape[1]):
        values = np.sort(maps[:, unit].numpy().ravel())[::-1]
        found.append(values[math.floor(quantile * len(values))])
    return np.array(found, dtype=np.float32)


def squashed(maps, size, _):
    """A picture's maps at its labels' resolution, and where the model could look."""
    big = F.interpolate(maps[None].double(), size, mode="bilinear", align_corners=False)[0].numpy()
    return big, np.ones(size, dtype=bool)


def literal_counts(maps, data, thresholds, counted, enlarge):
    """Loops over pictures, units and concepts."""
    categories = [concept.category for concept in data.concepts]
    both = np.zeros((maps.shape[1], len(categories)), dtype=int)
    active, truth = np.zeros_like(both), np.zeros(len(categories), dtype=int)
    for index in range(len(data)):
        labels = data.labels(index)
        w, h = data.pictures[index].size
        sizes = [label.shape for label in labels if isinstance(label, np.ndarray)] or [((h + 1) // 2, (w + 1) // 2)]
        for size in dict.fromkeys(sizes):
            big, seen = enlarge(maps[index], size, (h, w))
            above = big - thresholds[:, None, None]
            above[np.abs(above) < 1e-12] = 0  # corners may equal the threshold, and are not active then
            near = (above != 0) & (np.abs(above) < 3e-6 * (1 + np.abs(thresholds[:, None, None])))
            assert not near.any(), "rounding would decide whether a pixel is active; choose other pictures"
            grids = []
            for label in labels:
                if isinstance(label, np.ndarray):
                    grids += [label] if label.shape == size else []
                elif size == sizes[0]:
                    grids.append(np.full(size, label))
            for unit in range(maps.shape[1]):
                on = (above[unit] > 0) & seen
                carried, touched = set(), set()
                for grid in grids:
                    for number in np.unique(grid[grid > 0]):
                        mask = grid == number
                        both[unit, number - 1] += (mask & on).sum()
                        truth[number - 1] += mask.sum() if unit == 0 else 0
                        carried.add(categories[number - 1])
                        if (mask & on).any():
                            touched.add(categories[number - 1])
                counts = carried if counted == "carrying" else touched
                for concept, category in enumerate(categories):
                    active[unit, concept] += on.sum() if category in counts else 0
    return {"both": both, "active": active, "truth": truth}


def assert_counts(found, expected):
    for name in COUNTED:
        assert getattr(found, name).tolist() == expected[name].tolist(), name


def assert_same(found, expected):
    for name in TENSORS:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for name in ("concepts", "shape", "layer", "data", "pictures", "quantile", "sampled", "skipped", "fingerprint"):
        assert getattr(found, name) == getattr(expected, name), name


@pytest.mark.parametrize("counted", ["carrying", "touched"])
@pytest.mark.parametrize("quantile", [0.005, 0.04, 0.3])
def test_tallies_are_those_of_a_literal_dissection(counted, quantile):
    model, data = seeded(Deep), made()
    found = dissect(model, data, "features.2", quantile=quantile, counted=counted, preprocess=SQUASH)
    maps = layer_maps(model, data, "features.2", SQUASH)
    thresholds = literal_thresholds(maps, quantile)
    assert found.thresholds.tolist() == thresholds.tolist()
    expected = literal_counts(maps, data, thresholds, counted, squashed)
    assert_counts(found, expected)
    assert (expected["both"] > 0).sum() > 10
    union = expected["active"] + expected["truth"] - expected["both"]
    np.testing.assert_allclose(found.iou.numpy(), expected["both"] / np.maximum(union, 1), rtol=1e-12)
    assert found.shape == (8, 8)
    assert found.units == 6
    assert (found.sampled, found.skipped, found.pictures) == (1, (), 10)
    assert (found.layer, found.model, found.data, found.quantile) == ("features.2", "Deep", "made up", quantile)
    assert found.concepts == CONCEPTS


def test_maps_need_not_be_square():
    model, data = seeded(Gap), made()
    found = dissect(model, data, "features.0", quantile=0.1, preprocess=OBLONG)
    maps = layer_maps(model, data, "features.0", OBLONG)
    assert found.shape == maps.shape[2:] == (12, 20)
    assert found.thresholds.tolist() == literal_thresholds(maps, 0.1).tolist()
    assert_counts(found, literal_counts(maps, data, found.thresholds.numpy(), "carrying", squashed))


def test_pictures_labelled_as_a_whole_only_count_at_half_their_size():
    rng = np.random.default_rng(8)
    data = Made(
        CONCEPTS, [photograph(rng, size) for size in ((25, 38), (31, 22), (24, 40))], [[8], [9, 10], [np.int64(8)]]
    )
    model = seeded(Deep)
    found = dissect(model, data, "features.2", quantile=0.2, preprocess=SQUASH)
    maps = layer_maps(model, data, "features.2", SQUASH)
    assert_counts(found, literal_counts(maps, data, found.thresholds.numpy(), "carrying", squashed))
    assert found.truth.tolist() == [0] * 7 + [13 * 19 + 12 * 20, 16 * 11, 16 * 11]


def test_the_two_ways_to_count_differ():
    """Else the tests above would not tell them apart."""
    model, data = seeded(Deep), made()
    carrying, touched = (
        dissect(model, data, "features.2", quantile=0.04, counted=counted, preprocess=SQUASH).active
        for counted in ("carrying", "touched")
    )
    assert (touched <= carrying).all()
    assert (touched < carrying).sum() > 10


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
def test_the_size_of_batches_does_not_matter(batch):
    model, data = seeded(Deep), made()
    expected = dissect(model, data, "features.2", quantile=0.04, preprocess=SQUASH)
    found = dissect(model, data, "features.2", quantile=0.04, preprocess=SQUASH, batch=batch)
    for name in (*COUNTED, "exemplars", "spots"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for name in ("thresholds", "peaks"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


def test_results_are_on_the_cpu_in_types_that_hold_them():
    found = dissect(seeded(Deep), made(3), "features.2", preprocess=SQUASH)
    assert {name: getattr(found, name).dtype for name in TENSORS} == {
        "thresholds": torch.float32, "both": torch.int64, "active": torch.int64, "truth": torch.int64,
        "exemplars": torch.int64, "spots": torch.float32, "peaks": torch.float32,
    }  # fmt: skip
    assert all(getattr(found, name).device.type == "cpu" for name in TENSORS)


# --- what a crop hides ------------------------------------------------------------------------------------------------

WIDE = (24, 48)  # its crop of 16×16 begins at row 4 and column 16
CUT = (slice(4, 20), slice(16, 32))


def cropped(maps, size, full):
    """The maps lie where the crop was cut; nothing was seen elsewhere."""
    assert full == size == WIDE
    big, seen = np.zeros((len(maps), *size)), np.zeros(size, dtype=bool)
    big[:, *CUT] = F.interpolate(maps[None].double(), (16, 16), mode="bilinear", align_corners=False)[0].numpy()
    seen[CUT] = True
    big[:, ~seen] = np.inf  # not seen: whatever the threshold, it must not count
    return big, seen


def wide(n=6, seed=4):
    rng = np.random.default_rng(seed)
    around = np.full(WIDE, 2)
    around[CUT] = 1
    layers = [[around, blotches(rng, WIDE, (3, 4)), 5] for _ in range(n)]
    concepts = [
        Concept("inside", "place"),
        Concept("outside", "place"),
        Concept("ear", "part"),
        Concept("tail", "part"),
    ]
    return Made([*concepts, Concept("beach", "scene")], [photograph(rng, WIDE) for _ in range(n)], layers)


@pytest.mark.parametrize("counted", ["carrying", "touched"])
@pytest.mark.parametrize("bias", [0, -5])
def test_nothing_outside_a_crop_is_active(counted, bias):
    model, data = seeded(Deep), wide()
    with torch.no_grad():
        model.features[2].bias += bias
    found = dissect(model, data, "features.2", quantile=0.1, counted=counted, preprocess=CROP)
    if bias:
        assert (found.thresholds < 0).all(), "the zeros outside would be above these"
    maps = layer_maps(model, data, "features.2", CROP)
    thresholds = literal_thresholds(maps, 0.1)
    assert_counts(found, literal_counts(maps, data, thresholds, counted, cropped))
    assert (found.both[:, 1] == 0).all()
    assert torch.equal(found.both[:, 0], found.both[:, 4])
    assert (found.both[:, 0] > 0).all()
    assert found.truth[0] == 6 * 16 * 16
    assert found.truth[4] == 6 * 24 * 48, "what is labelled counts outside as well"


# --- units that are known ---------------------------------------------------------------------------------------------


class Planted(nn.Module):
    """Its units are the picture's channels, as large as the picture."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.layer.weight[:] = torch.eye(3)[:, :, None, None]
            self.layer.bias[:] = 0

    def forward(self, x):
        return self.fc(self.layer(x).mean((2, 3)))


def planted(n=8, side=32, share=0.125):
    """Red where there is a dog, green on the beach; the dog is on an eighth of each picture."""
    rng = np.random.default_rng(6)
    concepts = [Concept("dog", "object"), Concept("cat", "object"), Concept("beach", "scene"), Concept("sea", "scene")]
    pictures, labels = [], []
    for index in range(n):
        mask = np.zeros((side, side), dtype=bool)
        top, left = rng.integers(0, side // 2, 2)
        mask[top : top + side // 4, left : left + side // 2] = True
        pixels = rng.integers(0, 40, (side, side, 3), dtype=np.uint8)
        pixels[mask, 0] += 200
        pixels[:, :, 1] += np.uint8(200 * (index % 4 == 0))
        cats = rng.permutation(mask.ravel()).reshape(mask.shape) & ~mask
        pictures.append(Image.fromarray(pixels))
        labels.append([np.where(mask, 1, np.where(cats, 2, 0)), 3 + int(index % 4 != 0)])
    return Made(concepts, pictures, labels)


@pytest.mark.parametrize("counted", ["carrying", "touched"])
def test_planted_detectors_are_named(counted):
    plain = Preprocess(size=(32, 32), mode="squash")
    found = dissect(seeded(Planted), planted(), "layer", quantile=0.125, counted=counted, preprocess=plain)
    concept, iou = found.best(0)
    assert concept == Concept("dog", "object")
    assert iou > 0.99
    assert found.names().units[0].name == "dog"
    # The beach takes a quarter of all places, of which the eighth with the greatest values is active.
    concept, iou = found.best(1, "scene")
    assert concept.name == "beach"
    assert iou == pytest.approx(0.5, abs=0.01)


def test_a_threshold_far_from_a_concepts_share_costs_iou():
    """An eighth of all places is a dog: with half as many active, at most half of it is found."""
    plain = Preprocess(size=(32, 32), mode="squash")
    found = dissect(seeded(Planted), planted(), "layer", quantile=0.0625, preprocess=plain)
    assert found.best(0)[0].name == "dog"
    assert found.best(0)[1] == pytest.approx(0.5, abs=0.02)


class Capped(nn.Module):
    """Units that are constant, saturated in places or silent, so nowhere above a threshold; and one with a spike."""

    class Layer(nn.Module):
        def forward(self, x):
            bright = F.avg_pool2d(x, 2).mean(1, keepdim=True)
            constant = torch.full_like(bright, -0.7310586)
            spike = constant.clone()
            spike[:, :, 3, 4] = 1
            return torch.cat([constant, (bright * 9).clamp(max=5.7), bright * 0, spike], dim=1)

    def __init__(self):
        super().__init__()
        self.layer = Capped.Layer()

    def forward(self, x):
        return self.layer(x).mean((2, 3))


def test_rounding_lifts_no_plateau_above_its_threshold():
    """A dead or saturated unit has values equal to its threshold all over: none of them is above, enlarged or not."""
    data = Made(CONCEPTS[7:8], made(5).pictures, [[1]] * 5)
    found = dissect(Capped(), data, "layer", quantile=0.02, preprocess=SQUASH)
    assert found.thresholds.tolist() == pytest.approx([-0.7310586, 5.7, 0, -0.7310586])
    assert found.both[:3].tolist() == [[0], [0], [0]]
    assert found.active[:3].tolist() == [[0], [0], [0]]
    maps = layer_maps(Capped(), data, "layer", SQUASH)
    assert_counts(found, literal_counts(maps, data, found.thresholds.numpy(), "carrying", squashed))
    assert found.both[3] > 0


# --- exemplars --------------------------------------------------------------------------------------------------------


def in_squashed(y, x):
    """Where in the picture a place is that lies at these shares of the input."""
    return y, x


def in_cropped(y, x):
    """The crop of 16×16 is cut out of the wide picture at its own size."""
    return (y * 16 + 4) / 24, (x * 16 + 16) / 48


@pytest.mark.parametrize(
    ("preprocess", "place"),
    [(SQUASH, in_squashed), (OBLONG, in_squashed), (CROP, in_cropped)],
    ids=("square", "oblong", "crop"),
)
@pytest.mark.parametrize(("exemplars", "batch"), [(1, 32), (4, 32), (4, 1), (9, 4)])
def test_exemplars_are_each_units_strongest_places(preprocess, place, exemplars, batch):
    model, data = seeded(Gap, channels=6), wide(7)
    found = dissect(model, data, "features.2", exemplars=exemplars, batch=batch, preprocess=preprocess)
    maps = layer_maps(model, data, "features.2", preprocess)
    h, w = maps.shape[2:]
    assert found.exemplars.shape == found.peaks.shape == found.spots.shape[:2] == (6, exemplars)
    for unit in range(6):
        strongest = []
        for index in range(7):
            row, column = divmod(int(maps[index, unit].argmax()), w)
            spot = place((row + 0.5) / h, (column + 0.5) / w)
            strongest.append((float(maps[index, unit].max()), index, spot))
        strongest.sort(reverse=True)
        for rank in range(exemplars):
            if rank >= 7:
                assert found.exemplars[unit, rank] == -1
                assert found.peaks[unit, rank] == -math.inf
                continue
            value, index, spot = strongest[rank]
            assert found.exemplars[unit, rank] == index
            assert float(found.peaks[unit, rank]) == pytest.approx(value, rel=1e-5)
            assert found.spots[unit, rank].tolist() == pytest.approx(spot)


def test_spots_show_the_place_in_the_picture():
    """A red dot in a wide picture, cropped: the spot of the unit for red is the dot's."""
    pixels = np.zeros((40, 100, 3), dtype=np.uint8)
    pixels[12:16, 40:44, 0] = 255
    data = Made(CONCEPTS, [Image.fromarray(pixels)], [[1]])
    how = Preprocess(size=(40, 40), mode="crop", resize=40)
    found = dissect(seeded(Planted), data, "layer", exemplars=1, preprocess=how)
    y, x = found.spots[0, 0].tolist()
    assert 12 <= y * 40 <= 16
    assert 40 <= x * 100 <= 44


def test_a_strongest_place_in_the_padding_is_brought_to_the_edge():
    data = Made(CONCEPTS, [Image.fromarray(np.zeros((10, 40, 3), dtype=np.uint8))], [[1]])
    how = Preprocess(size=(40, 40), mode="pad", mean=(0.9, 0.9, 0.9), std=(1.0, 1.0, 1.0))
    found = dissect(seeded(Planted), data, "layer", exemplars=1, preprocess=how)
    assert ((found.spots >= 0) & (found.spots <= 1)).all()


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("broken", [(0,), (9,), (0, 1, 2), (3, 5, 8, 9)])
def test_broken_pictures_are_noted_and_the_rest_is_as_without_them(broken, batch):
    model, data = seeded(Deep), made()
    data.broken = broken
    found = dissect(model, data, "features.2", quantile=0.04, batch=batch, exemplars=3, preprocess=SQUASH)
    assert found.skipped == tuple((i, f"Picture {i} is broken.") for i in broken)
    assert found.pictures == 10 - len(broken)
    expected = dissect(
        model, data.without(*broken), "features.2", quantile=0.04, batch=batch, exemplars=3, preprocess=SQUASH
    )
    for name in (*COUNTED, "spots"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    torch.testing.assert_close(found.thresholds, expected.thresholds)
    torch.testing.assert_close(found.peaks, expected.peaks)
    kept = torch.tensor([i for i in range(10) if i not in broken])
    assert torch.equal(found.exemplars, kept[expected.exemplars])


@pytest.mark.parametrize("batch", [1, 32])
def test_pictures_the_model_cannot_take_are_noted_as_well(batch):
    """They can be opened, and then a crop would enlarge them enormously."""
    model, data = seeded(Deep), made(4)
    data.pictures[0] = data.pictures[3] = Image.new("RGB", (1, 40_000))
    crop = Preprocess(size=(16, 16), mode="crop", resize=256)
    found = dissect(model, data, "features.2", quantile=0.04, batch=batch, preprocess=crop)
    assert [index for index, _ in found.skipped] == [0, 3]
    assert all("1×40000 pixels is too elongated" in why for _, why in found.skipped)
    expected = dissect(model, data.without(0, 3), "features.2", quantile=0.04, batch=batch, preprocess=crop)
    for name in COUNTED:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_a_broken_picture_is_opened_once():
    data = made()
    data.broken = (4,)
    dissect(seeded(Deep), data, "features.2", preprocess=SQUASH)
    assert data.opened.count(4) == 1


@pytest.mark.parametrize("unlabelled", [(0,), (2, 3, 9)])
def test_pictures_with_broken_labels_are_noted_and_count_for_the_thresholds_only(unlabelled):
    model, data = seeded(Deep), made()
    data.unlabelled = unlabelled
    found = dissect(model, data, "features.2", quantile=0.04, exemplars=10, preprocess=SQUASH)
    assert found.skipped == tuple((i, f"Labels {i} are broken.") for i in unlabelled)
    assert found.pictures == 10 - len(unlabelled)
    bare = Made(CONCEPTS, data.pictures, [[] if i in unlabelled else data.labelled[i] for i in range(10)])
    expected = dissect(model, bare, "features.2", quantile=0.04, preprocess=SQUASH)
    for name in ("thresholds", *COUNTED):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert not set(found.exemplars.flatten().tolist()) & set(unlabelled)


def test_no_readable_picture_is_an_error_with_the_first_reason():
    data = made(3)
    data.broken = (0, 1, 2)
    with pytest.raises(ExplainError, match=r"No picture of made up can be read; the first: Picture 0 is broken\."):
        dissect(seeded(Deep), data, "features.2", preprocess=SQUASH)


def test_pictures_without_any_label_are_no_concepts():
    data = Made(CONCEPTS, made(4).pictures, [[], [0], [np.zeros((5, 5), np.uint8)], []])
    found = dissect(seeded(Deep), data, "features.2", preprocess=SQUASH)
    assert not found.both.any()
    assert not found.active.any()
    assert not found.truth.any()
    assert not found.iou.any()
    assert (found.exemplars >= 0).sum() == 6 * 4


# --- one sentence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0, 1, -0.1, 1.5, math.nan])
def test_a_quantile_that_is_no_share_is_refused(quantile):
    with pytest.raises(ExplainError, match="is no share of the places; choose one between 0 and 1"):
        dissect(seeded(Deep), made(2), quantile=quantile)


def test_what_cannot_be_dissected_is_refused():
    model, data = seeded(Gap), made(2)
    with pytest.raises(ExplainError, match="no counted='all'; choose 'carrying' or 'touched'"):
        dissect(model, data, counted="all")
    with pytest.raises(ExplainError, match="no layer 'featurse' in Gap; did you mean features"):
        dissect(model, data, "featurse", preprocess=SQUASH)
    with pytest.raises(ExplainError, match=r"'fc' gives \(1, 5\) of torch.float32, not a spatial map"):
        dissect(model, data, "fc", preprocess=SQUASH)
    with pytest.raises(ExplainError, match="made up holds no pictures or no concepts"):
        dissect(model, Made(CONCEPTS, [], []), preprocess=SQUASH)
    with pytest.raises(ExplainError, match="made up holds no pictures or no concepts"):
        dissect(model, Made([], data.pictures, [[], []]), preprocess=SQUASH)


# --- going on after an interruption -----------------------------------------------------------------------------------


@pytest.fixture
def often(monkeypatch):
    """The state is saved after each batch."""
    monkeypatch.setattr(module, "SAVE_EVERY", 1)


def run(data, resume=None, model=None, layer="features.2", **options):
    settings = {"quantile": 0.04, "batch": 3, "exemplars": 3, "preprocess": SQUASH, **options}
    return dissect(seeded(Deep) if model is None else model, data, layer, resume=resume, **settings)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("memory", [2**30, 2000])
@pytest.mark.parametrize("stop", [0, 1, 2, 4, 6, 9, 10, 11, 13, 16, 19])
def test_an_interrupted_dissection_goes_on(tmp_path, stop, memory):
    """The first picture is opened once more to begin with, and then what was read, to see that it is the same.

    The eleven opened before `stop` end the first pass.
    """
    file = tmp_path / "new" / "state"
    expected = run(made(), memory=memory)
    assert (expected.sampled < 1) == (memory == 2000)
    data = made()
    data.stop = stop
    with pytest.raises(KeyboardInterrupt):
        run(data, file, memory=memory)
    batches = max(0, stop - 1) // 3 if stop < 11 else 4 + (stop - 11) // 3
    assert file.exists() == (batches > 0)
    assert not file.exists() or [path.name for path in file.parent.iterdir()] == ["state"]
    data = made()
    assert_same(run(data, file, memory=memory), expected)
    assert not file.exists()
    rest = [index for rows in ([0, 1, 2], [3, 4, 5], [6, 7, 8], [9]) * 2 for index in [rows]][batches:]
    again = range(min(3 * batches, 10))
    assert data.opened == [0, *again, *(index for rows in rest for index in rows)]


@pytest.mark.usefixtures("often")
def test_a_dissection_can_be_interrupted_again_and_again(tmp_path):
    file = tmp_path / "state"
    expected = run(made())
    for before, step in pairwise((0, 1, 2, 4, 5, 6)):  # a pass's last batch holds one picture: another goes with it
        data = made()
        data.stop = 6 + min(3 * before, 10)  # the first picture, what was read before, three of a batch, and two more
        with pytest.raises(KeyboardInterrupt):
            run(data, file)
        assert steps_of(file) == step
    assert_same(run(made(), file), expected)


def steps_of(file):
    """How many batches of both passes are done."""
    with safe_open(file, "pt") as content:
        return int(content.metadata()["step"])


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("stop", [8, 18])
def test_what_was_skipped_is_remembered(tmp_path, stop):
    file = tmp_path / "state"
    data = made()
    data.broken, data.unlabelled = (1, 7), (2,)
    expected = run(data)
    data.opened, data.stop = [], stop
    with pytest.raises(KeyboardInterrupt):
        run(data, file)
    data.opened, data.stop = [], None
    assert_same(run(data, file), expected)
    assert 1 not in data.opened
    assert [index for index, _ in expected.skipped] == [1, 2, 7]


def test_the_state_is_kept_every_fifty_batches(tmp_path):
    file = tmp_path / "state"
    data = made()
    data.stop = 19
    with pytest.raises(KeyboardInterrupt):
        run(data, file, batch=1)
    assert not file.exists()
    assert module.SAVE_EVERY == 50


def test_a_dissection_without_interruption_leaves_no_state(tmp_path):
    assert_same(run(made(), tmp_path / "state"), run(made()))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interrupted(tmp_path, often):
    data = made()
    data.stop = 8
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "state")
    return tmp_path / "state"


@pytest.mark.parametrize(
    "change",
    [
        {"layer": "features.0"}, {"quantile": 0.05}, {"counted": "touched"}, {"exemplars": 4}, {"batch": 2},
        {"memory": 10_000},
        {"call": 0}, {"preprocess": CROP},
        {"preprocess": Preprocess(size=(16, 16), mode="squash", mean=(0.4, 0.5, 0.5), std=(0.25, 0.25, 0.25))},
    ],
    ids=str,
)  # fmt: skip
def test_a_state_of_other_settings_is_refused(interrupted, change):
    before = interrupted.read_bytes()
    with pytest.raises(ExplainError, match="belongs to a dissection of another model, layer, data set or setting"):
        run(made(), interrupted, **change)
    assert interrupted.read_bytes() == before


def test_a_state_of_another_model_or_data_set_is_refused(interrupted):
    changed = seeded(Deep)
    with torch.no_grad():
        changed.features[0].weight[0, 0, 0, 0] += 1
    renamed, fewer, other = made(), made(9), made()
    renamed.name = "others"
    other.concepts = [*CONCEPTS[:-1], Concept("dotted", "texture")]
    for data, model in ((made(), changed), (renamed, None), (fewer, None), (other, None)):
        with pytest.raises(ExplainError, match="belongs to a dissection of another model"):
            run(data, interrupted, model)
    assert_same(run(made(), interrupted), run(made()))


def reordered(data):
    data.pictures[0], data.pictures[4] = data.pictures[4], data.pictures[0]


def one_pixel(data):
    data.pictures[2].putpixel((3, 3), (0, 0, 0))


def other_mask(data):
    data.labelled[1] = [np.ones((9, 9), np.uint8)]


def gone(data):
    data.broken = (1,)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("change", [reordered, one_pixel, other_mask, gone])
def test_a_state_of_other_pictures_is_refused(tmp_path, change):
    """Their name, number and concepts are the same; the second pass has begun, so that labels were read as well."""
    data = made()
    data.stop = 18
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "state")
    other = made()
    change(other)
    with pytest.raises(ExplainError, match=r"Picture \d of made up, or its labels, are others than when the disse"):
        run(other, tmp_path / "state")
    assert_same(run(made(), tmp_path / "state"), run(made()))


@pytest.mark.usefixtures("often")
def test_pictures_that_change_between_the_passes_are_found_by_the_second(tmp_path, monkeypatch):
    """Even those that are not among the few that are read again at once."""
    monkeypatch.setattr("mmcam.neurons.same_pictures.SAMPLE", 2)  # the first and the last
    data = made()
    data.stop = 10
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "state")
    other = made()
    one_pixel(other)
    with pytest.raises(ExplainError, match="Picture 2 of made up"):
        run(other, tmp_path / "state")


def test_labels_that_were_not_read_yet_may_be_mended(interrupted):
    """In the first pass no label has counted."""
    mended = made()
    other_mask(mended)
    assert_same(run(mended, interrupted), run(mended))


def test_what_comes_after_the_layer_may_change_meanwhile(interrupted):
    changed = seeded(Deep)
    with torch.no_grad():
        changed.head[0].weight += 1
    assert_same(run(made(), interrupted, changed), run(made()))


def test_a_file_that_is_no_state_is_refused_and_left_alone(interrupted):
    whole = interrupted.read_bytes()
    for content, why in (
        (b"", "is no state of a dissection"),
        (b"something else entirely", "is no state of a dissection"),
        (whole[: len(whole) // 2], "is no state of a dissection"),
        (save({"weight": torch.ones(3)}), "belongs to a dissection of another"),
    ):
        interrupted.write_bytes(content)
        with pytest.raises(ExplainError, match=why):
            run(made(), interrupted)
        assert interrupted.read_bytes() == content


# --- any model, left as found -----------------------------------------------------------------------------------------


def test_a_model_is_left_as_found():
    model = mixed(seeded(Noisy))
    state = State(model)
    found = dissect(model, made(3), "norm", preprocess=SQUASH)
    state.check()
    model.eval()
    assert torch.equal(found.thresholds, dissect(model, made(3), "norm", preprocess=SQUASH).thresholds)


@pytest.mark.usefixtures("often")
def test_a_model_is_left_as_found_after_an_error(tmp_path):
    model = mixed(seeded(Noisy))
    state = State(model)
    with pytest.raises(ExplainError):
        dissect(model, made(3), "fc", preprocess=SQUASH)
    data = made(3)
    data.stop = 4
    with pytest.raises(KeyboardInterrupt):
        dissect(model, data, "norm", preprocess=SQUASH, resume=tmp_path / "state")
    state.check()


def test_in_inference_mode():
    expected = run(made(4))
    with torch.inference_mode():
        found = run(made(4))
    assert_same(found, expected)
    assert not any(getattr(found, name).is_inference() for name in TENSORS)


def test_channels_last_and_wrapped_models_give_the_same():
    expected = run(made(5))
    for model in (seeded(Deep).to(memory_format=torch.channels_last), nn.DataParallel(seeded(Deep))):
        found = run(made(5), model=model)
        for name in (*COUNTED, "exemplars", "spots"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        torch.testing.assert_close(found.thresholds, expected.thresholds)
        assert (found.fingerprint, found.model) == (expected.fingerprint, "Deep")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_precisions(dtype):
    model, data = seeded(Deep).to(dtype), made(5)
    found = run(data, model=model)
    assert found.thresholds.dtype == torch.float32
    if dtype != torch.float64:
        assert torch.equal(found.thresholds.to(dtype).float(), found.thresholds)
    torch.testing.assert_close(found.thresholds, run(data).thresholds, rtol=0.05, atol=0.05)
    maps = torch.stack([activations.float() for activations in _maps(model, data, dtype)])
    assert found.thresholds.tolist() == pytest.approx(literal_thresholds(maps, 0.04).tolist(), abs=1e-5)


def _maps(model, data, dtype):
    for start in range(0, len(data), 3):
        rows = range(start, min(start + 3, len(data)))
        x = torch.stack([SQUASH(data.pictures[i])[0] for i in rows]).to(dtype)
        with torch.no_grad():
            yield from model.features(x)


def test_the_models_own_preprocessing_and_layer_are_the_default():
    model = seeded(Gap)
    model.preprocess = SQUASH
    found = dissect(model, made(4), batch=2)
    assert found.layer == "features"
    assert_same(found, dissect(model, made(4), "features", batch=2, preprocess=SQUASH))


class Again(Gap):
    """Runs its features on its own output."""

    def __init__(self):
        super().__init__(channels=3)

    def forward(self, x):
        return super().forward(self.features(x))


def test_a_layer_that_runs_twice_is_read_at_the_call_asked_for():
    model, data = seeded(Again), made(4)
    first, second = (
        dissect(model, data, "features.2", quantile=0.1, preprocess=SQUASH, call=call).thresholds for call in (0, 1)
    )
    maps = []
    handle = model.features[2].register_forward_hook(lambda _m, _i, out: maps.append(out))
    with torch.no_grad():
        model(torch.stack([SQUASH(picture)[0] for picture in data.pictures]))
    handle.remove()
    assert first.tolist() == literal_thresholds(maps[0], 0.1).tolist()
    assert second.tolist() == literal_thresholds(maps[1], 0.1).tolist()


class Writer(Captioner):
    """Looks at the pictures before it writes."""

    def generate(self, x):
        return [self.said[int(row.argmax()) % 2] for row in self.picture(self.encoder(x).flatten(1))]


@pytest.mark.parametrize("build", [Writer, VQA])
def test_captioners_and_answerers_are_dissected_at_their_encoder(build):
    model = seeded(build)
    found = dissect(model, made(3), quantile=0.1)
    encoder = nn.Sequential(copy.deepcopy(model.encoder), nn.Flatten(), nn.Linear(512, 2))
    alone = dissect(encoder, made(3), "0.3", quantile=0.1, preprocess=SMALL)
    assert found.layer == "encoder"
    for name in TENSORS:
        assert torch.equal(getattr(found, name), getattr(alone, name)), name


@pytest.mark.parametrize("name", ["vignette-classifier", "vignette-captioner", "vignette-vqa"])
def test_bundled_models_are_dissected_at_their_default_layer(name):
    model, data = load(name), made(2)
    state = State(model)
    found = dissect(model, data)
    state.check()
    assert found.units > 16
    assert found.pictures == 2
    assert found.truth.any()
    assert (found.both <= found.truth).all()
    assert (found.both <= found.active).all()
    assert (found.exemplars[:, :2].sort().values == torch.tensor([0, 1])).all()


def test_a_label_of_no_concept_is_one_sentence():
    data = made()
    labels = data.labels

    def wrong(index):
        return [*labels(index), np.full((4, 4), 99)]

    data.labels = wrong
    with pytest.raises(ExplainError, match=r"Picture 0 of .* has label 99, and there are \d+ concepts"):
        run(data)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"batch": 0}, "With batch=0 no picture is read; pass at least 1."),
        ({"batch": -1}, "With batch=-1 no picture is read; pass at least 1."),
        ({"exemplars": -1}, "exemplars=-1 pictures cannot be noted for a unit; pass 0 or more."),
    ],
)
def test_numbers_that_cannot_be(wrong, sentence):
    with pytest.raises(ExplainError) as error:
        run(made(), **wrong)
    assert str(error.value) == sentence
