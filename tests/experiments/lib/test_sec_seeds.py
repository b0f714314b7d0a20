"""What is true of a cell."""

import numpy as np

import models
from experiments.lib import sec_seeds
from mmcam.datasets import vignettes


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
