"""Seeds by hand: which class gets a cell, and what is true of it."""

import numpy as np

import models
from experiments.lib import sec_seeds
from mmcam.datasets import vignettes


def test_who_gets_a_cell():
    wide, narrow = np.zeros((4, 4)), np.zeros((4, 4))
    wide[:, :3] = 1.0  # twelve cells
    narrow[0] = 5.0  # four, of which three are the other's too; only the share of its own maximum counts
    narrow[1] = 0.9  # below a fifth of 5
    back = np.zeros((4, 4), bool)
    back[3] = True
    found = sec_seeds.planted(np.stack([wide, narrow]), [7, 3], back)
    assert found.tolist() == [[4, 4, 4, 4], [8, 8, 8, -1], [8, 8, 8, -1], [8, 8, 8, 0]]


def test_an_empty_map_seeds_nothing():
    back = np.zeros((2, 2), bool)
    assert (sec_seeds.planted(np.zeros((1, 2, 2)), [0], back) == sec_seeds.NOTHING).all()
    assert (sec_seeds.planted(-np.ones((1, 2, 2)), [0], back) == sec_seeds.NOTHING).all()


def test_truth_is_the_mask_at_the_middle_of_a_cell():
    model = models.load("vignette-classifier")
    scene = vignettes.draw(vignettes.seed("test", 1))
    true = sec_seeds.truth(model, scene)
    assert true.shape == (sec_seeds.GRID, sec_seeds.GRID)
    for row, column in ((0, 0), (8, 11), (28, 22), (40, 40)):
        y, x = (int((i + 0.5) * 224 / sec_seeds.GRID) for i in (row, column))
        owners = np.flatnonzero(scene.instances[:, y, x])
        expected = 1 + list(model.classes).index(scene.truth.things[owners[0]].kind) if len(owners) else 0
        assert true[row, column] == expected
