"""The permutation test against loops that deal the masks out by hand, and against all orders there are."""

import importlib
from itertools import permutations
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from mmcam import ExplainError, Preprocess
from mmcam.datasets.concepts import Concept
from mmcam.errors import PictureError
from mmcam.image import Geometry
from mmcam.neurons.dissect import dissect
from mmcam.neurons.shuffled import GRID, Shuffled, orders, points_of

module = importlib.import_module("mmcam.neurons.shuffled")
CONCEPTS = (Concept("dog", "object"), Concept("cat", "object"), Concept("ear", "part"), Concept("beach", "scene"))
WHOLE = Geometry(original=(GRID, GRID), input=(GRID, GRID), scale=(1.0, 1.0), offset=(0.0, 0.0))


class Labelled:
    """Labels in memory; those of `broken` cannot be read. Pictures are squares of grey."""

    name = "made up"

    def __init__(self, labels, concepts=CONCEPTS, broken=()):
        self.own, self.concepts, self.broken = labels, concepts, broken

    def __len__(self):
        return len(self.own)

    def labels(self, index):
        if index in self.broken:
            raise PictureError(f"Labels {index} are broken.")
        return self.own[index]


def blotch(rng, numbers, size=(GRID, GRID)):
    labels = np.zeros(size, np.uint8)
    for number in numbers:
        top, left = rng.integers(0, size[0] - 6), rng.integers(0, size[1] - 6)
        labels[top : top + rng.integers(4, 14), left : left + rng.integers(4, 14)] = number
    return labels


def labelled(pictures, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for index in range(pictures):
        layers = [blotch(rng, (1, 2)[: rng.integers(1, 3)])]
        if index % 2:
            layers.append(blotch(rng, (3,), (20, 31)))
        if index % 3 == 1:
            layers.append(4)
        made.append(layers)
    return made


def units_of(rng, data, units):
    """(N,K,GRID,GRID) of 0 and 1: unit 0 is the dog's mask, the others are blotches of their own."""
    maps = torch.zeros(len(data), units, GRID, GRID)
    for index in range(len(data)):
        maps[index, 0] = torch.from_numpy((data.own[index][0] == 1).astype(np.float32))
        for unit in range(1, units):
            maps[index, unit] = torch.from_numpy((blotch(rng, (1,)) > 0).astype(np.float32))
    return maps


def counted(data, maps, shuffles, touched=False, batch=3):
    """A `Shuffled` of maps that are at the grid's resolution, active above a half."""
    found = Shuffled(data, maps.shape[1], shuffles, touched, torch.device("cpu"))
    thresholds = torch.full((maps.shape[1],), 0.5)
    for start in range(0, len(data), batch):
        where = range(start, min(start + batch, len(data)))
        found.add(maps[list(where)], thresholds, where, [WHOLE] * len(where), {})
    return found


def by_hand(data, maps, order, touched):
    """(K,L) IoUs of an order, in loops: picture i has the masks of picture order[i]."""
    iou = np.zeros((maps.shape[1], len(data.concepts)))
    for unit in range(maps.shape[1]):
        for number, concept in enumerate(data.concepts, start=1):
            both = active = truth = 0
            for index, other in enumerate(order):
                on = maps[index, unit].numpy() > 0.5
                grids = []
                for label in data.own[other]:
                    if isinstance(label, int):
                        grids.append(np.full((GRID, GRID), label))
                        continue
                    h, w = label.shape
                    rows = [int((i + 0.5) * h / GRID) for i in range(GRID)]
                    columns = [int((j + 0.5) * w / GRID) for j in range(GRID)]
                    grids.append(np.array([[label[i, j] for j in columns] for i in rows]))
                carried = set()
                for grid in grids:
                    for seen in np.unique(grid[grid > 0]):
                        if not touched or (on & (grid == seen)).any():
                            carried.add(data.concepts[seen - 1].category)
                    both += (on & (grid == number)).sum()
                    truth += (grid == number).sum()
                active += on.sum() if concept.category in carried else 0
            union = active + truth - both
            iou[unit, number - 1] = both / union if union else 0
    return iou


@pytest.mark.parametrize("touched", [False, True])
def test_every_shuffle_is_that_of_loops(touched):
    data = Labelled(labelled(7))
    maps = units_of(np.random.default_rng(1), data, 4)
    found = counted(data, maps, 5, touched)
    drawn = orders(7, 5, 0).tolist()
    for row, order in enumerate(drawn):
        np.testing.assert_allclose(found.iou(row).numpy(), by_hand(data, maps, order, touched), rtol=1e-12)
    real = by_hand(data, maps, range(7), touched)
    best = [by_hand(data, maps, order, touched).max(axis=1) for order in drawn[1:]]
    assert found.reached().tolist() == [[sum(b[k] >= v for b in best) for v in real[k]] for k in range(4)]


@pytest.mark.parametrize("pictures", [3, 4])
def test_p_is_near_that_of_all_orders(pictures):
    """Every order once: the exact p, of which the shuffles are a sample."""
    data = Labelled(labelled(pictures, seed=4))
    maps = units_of(np.random.default_rng(2), data, 3)
    every = [by_hand(data, maps, order, False) for order in permutations(range(pictures))]
    exact = np.mean([iou.max(axis=1)[:, None] >= every[0] for iou in every], axis=0)
    sampled = (1 + counted(data, maps, 600).reached().numpy()) / 601
    assert (abs(sampled - exact) <= 4 * np.sqrt(exact * (1 - exact) / 600) + 2 / 601).all()
    assert exact.min() < 0.5


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_batches_make_no_difference(batch):
    data = Labelled(labelled(9))
    maps = units_of(np.random.default_rng(1), data, 3)
    expected, found = counted(data, maps, 4), counted(data, maps, 4, batch=batch)
    for name in module.COUNTS:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_masks_stay_within_their_block(monkeypatch):
    """In blocks of one there is nobody to deal to, so every shuffle is the data itself."""
    monkeypatch.setattr(module, "BLOCK", 1)
    data = Labelled(labelled(5))
    found = counted(data, units_of(np.random.default_rng(1), data, 3), 4)
    assert all(torch.equal(found.iou(row), found.iou(0)) for row in range(5))
    assert (found.reached() == 4).any(dim=1).all()
    monkeypatch.setattr(module, "BLOCK", 3)
    found = counted(data, units_of(np.random.default_rng(1), data, 3), 4)
    together = [[*first, *(3 + place for place in second)]
                for first, second in zip(orders(3, 4, 0).tolist(), orders(2, 4, 1).tolist(), strict=True)]  # fmt: skip
    for row, order in enumerate(together):
        expected = by_hand(data, units_of(np.random.default_rng(1), data, 3), order, False)
        np.testing.assert_allclose(found.iou(row).numpy(), expected, rtol=1e-12)


def test_labels_that_cannot_be_read_are_dealt_to_nobody():
    whole = Labelled(labelled(6))
    maps = units_of(np.random.default_rng(1), whole, 3)
    kept = [0, 1, 3, 5]
    fewer = Labelled([whole.own[i] for i in kept])
    whole.broken = (2, 4)
    expected, found = counted(fewer, maps[kept], 6), counted(whole, maps, 6)
    for name in module.COUNTS:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@given(pictures=st.integers(0, 12), shuffles=st.integers(0, 9), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_orders_are_orders(pictures, shuffles, seed):
    drawn = orders(pictures, shuffles, seed)
    assert drawn[0].tolist() == list(range(pictures))
    assert all(sorted(order) == list(range(pictures)) for order in drawn.tolist())
    assert torch.equal(drawn, orders(pictures, shuffles, seed))


def test_orders_are_equally_likely():
    """6 of them in 6,000 draws: chi-square of five degrees is above 20.5 once in a thousand."""
    drawn = [tuple(order) for order in orders(3, 6000, 0).tolist()[1:]]
    counts = [drawn.count(order) for order in permutations(range(3))]
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 20.5


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_fit_itself_does_not_depend_on_the_order_of_pictures(order):
    data = Labelled(labelled(6))
    maps = units_of(np.random.default_rng(1), data, 3)
    turned = counted(Labelled([data.own[i] for i in order]), maps[list(order)], 0)
    assert torch.equal(turned.iou(0), counted(data, maps, 0).iou(0))


def test_points_are_at_the_middle_of_their_cells():
    label = np.arange(4 * GRID * GRID).reshape(2 * GRID, 2 * GRID) % 2 + 1  # columns of 1 and 2 in turn
    assert points_of([label])[2].all()
    assert not points_of([label])[1].any()
    assert {number: mask.all() for number, mask in points_of([3, np.zeros((5, 5), int)]).items()} == {3: True}
    joined = points_of([np.eye(GRID, dtype=int), 1 - np.eye(GRID, dtype=int)])
    assert joined.keys() == {1}
    assert joined[1].all()


# --- in a dissection --------------------------------------------------------------------------------------------------


class Channels(nn.Module):
    """Its layer `features` shows the picture's channels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU())
        nn.init.dirac_(self.features[0].weight)
        self.preprocess = Preprocess(size=(GRID, GRID), mode="squash", mean=(0, 0, 0), std=(1, 1, 1))

    def forward(self, x):
        return self.features(x).mean((2, 3))


class Painted(Labelled):
    """Red where a dog is, green at random, blue in the same corner of every picture, where a cat always is."""

    def __init__(self, pictures, seed=0):
        rng = np.random.default_rng(seed)
        dogs = [blotch(rng, (1,)) for _ in range(pictures)]
        corner = np.zeros((GRID, GRID), np.uint8)
        corner[:6, :6] = 2
        super().__init__([[dog, corner] for dog in dogs], CONCEPTS[:2])
        noise = [blotch(rng, (1,)) for _ in range(pictures)]
        self.pixels = [
            np.stack([dog, green, corner // 2], -1).astype(np.uint8) * 255
            for dog, green in zip(dogs, noise, strict=True)
        ]

    def picture(self, index):
        return Image.fromarray(self.pixels[index])


def test_a_unit_that_is_a_concept_is_told_from_one_that_is_not():
    """The corner fits perfectly, and does so with every picture's mask: nothing shows that it means the cat."""
    found = dissect(Channels().eval(), Painted(40), "features", quantile=0.3)
    red, green, blue = (found.names(0).units[unit] for unit in range(3))
    near = pytest.approx(1, abs=0.03)  # at threshold 0 the rounding of a resize counts along the edges
    assert (red.name, red.score, red.p) == ("dog", near, pytest.approx(3 / 200))
    assert green.p > 0.05
    assert (blue.name, blue.score, blue.p) == ("cat", near, 1)
    assert [unit.doubtful("IoU") for unit in (red, green, blue)] == [False, True, True]
    assert torch.equal(found.p, (1 + found.reached).double() / 200)


def test_units_of_noise_are_named_as_rarely_as_promised():
    """p ≤ 0.05 in about a twentieth of 240 units that have to do with nothing, at most within three standard errors."""
    data = Labelled(labelled(30, seed=3))
    maps = units_of(np.random.default_rng(7), data, 241)[:, 1:]
    p = (1 + counted(data, maps, 99).reached()) / 100
    share = (p.amin(1) <= 0.05).float().mean()
    assert share <= 0.05 + 3 * sqrt(0.05 * 0.95 / 240)
    assert share > 0


def test_without_shuffles_nothing_is_tested():
    found = dissect(Channels().eval(), Painted(6), "features", quantile=0.3, shuffles=0)
    assert (found.reached, found.p, found.shuffles) == (None, None, 0)
    assert found.names(0).units[0].p is None
    with pytest.raises(ExplainError, match="shuffles=-1 tell nothing of chance; pass 0 for no test, or 199"):
        dissect(Channels().eval(), Painted(6), "features", shuffles=-1)


def test_the_tallies_are_the_same_with_and_without():
    with_test, without = (dissect(Channels().eval(), Painted(6), "features", shuffles=s) for s in (20, 0))
    for name in ("thresholds", "both", "active", "truth", "exemplars"):
        assert torch.equal(getattr(with_test, name), getattr(without, name)), name
