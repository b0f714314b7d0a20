"""Seeds by hand: which class gets a cell, where it lies in the picture, what is background."""

import numpy as np
import torch
from colours import Colours
from torch import nn

import models
from mmcam.diagnosis.segmentation import seeds
from mmcam.image import Geometry, Preprocess


def test_who_gets_a_cell():
    wide, narrow = np.zeros((4, 4)), np.zeros((4, 4))
    wide[:, :3] = 1.0  # twelve cells
    narrow[0] = 5.0  # four, of which three are the other's too; only the share of its own maximum counts
    narrow[1] = 0.9  # below a fifth of 5
    back = np.zeros((4, 4), bool)
    back[3] = True
    found = seeds.planted(np.stack([wide, narrow]), [7, 3], back)
    assert found.tolist() == [[4, 4, 4, 4], [8, 8, 8, -1], [8, 8, 8, -1], [8, 8, 8, 0]]


def test_an_empty_map_seeds_nothing():
    back = np.zeros((2, 2), bool)
    assert (seeds.planted(np.zeros((1, 2, 2)), [0], back) == seeds.NOTHING).all()
    assert (seeds.planted(-np.ones((1, 2, 2)), [0], back) == seeds.NOTHING).all()


def test_cells_lie_over_the_whole_picture_and_a_crop_leaves_its_margins_empty():
    x = torch.zeros(1, 4, 4)
    x[0, 0, 0] = 1.0
    squashed = seeds.on_grid(x, Geometry((10, 30), (4, 4), (0.4, 4 / 30)), 8)
    assert squashed[0, 0, 0] == 1
    assert squashed[0].argmax() == 0
    # The middle third of a wide picture: its first seen column is the fifth of twelve cells.
    cropped = seeds.on_grid(x + 1, Geometry((10, 30), (10, 10), (1.0, 1.0), (0.0, -10.0)), 12)
    assert (cropped[0].max(0) > 0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert np.unravel_index(cropped[0].argmax(), (12, 12)) == (0, 4)


def test_a_cell_of_a_pixel_map_takes_the_mean():
    fine = torch.rand(1, 12, 12)
    found = seeds.on_grid(fine, Geometry((12, 12), (12, 12)), 4)
    assert np.allclose(found[0], fine[0].reshape(4, 3, 4, 3).mean((1, 3)), atol=1e-6)


class Left(nn.Module):
    """Its one class is what is red in the left half."""

    preprocess = Preprocess((32, 32), "squash", mean=(0.5,) * 3, std=(0.5,) * 3)

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 4, 3, 4, 1)
        self.late = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x):
        return self.late(self.early(x)[..., :4].tanh()).mean((2, 3))


def test_background_is_the_tenth_that_matters_least():
    torch.manual_seed(0)
    found = seeds.background(Left().eval(), torch.rand(1, 3, 32, 32), Geometry((32, 32), (32, 32)), [0], "early", 20)
    assert not found[:, :8].any(), "what the score depends on"
    assert found.mean() >= 0.1
    # Nothing outside of a crop is background, however little it matters.
    crop = Geometry((32, 64), (32, 32), (1.0, 1.0), (0.0, -16.0))
    cropped = seeds.background(Left().eval(), torch.rand(1, 3, 32, 32), crop, [0], "early", 20)
    assert not cropped[:, :5].any()
    assert not cropped[:, 15:].any()
    assert cropped.any()


def test_the_earlier_layer_has_cells_of_eight_pixels():
    model = models.load("vignette-classifier")
    assert seeds.earlier_layer(model, torch.zeros(1, 3, 224, 224)) == "encoder.features.16"  # 28×28


def test_a_colour_is_seeded_where_it_is():
    """A red square of a picture whose classifier counts red pixels."""
    model = Colours()
    picture = torch.zeros(1, 3, 32, 32)
    picture[0, 0, 4:12, 20:28] = 1.0
    found = seeds.seeds_of(model, picture, Geometry((32, 32), (32, 32)), [0], [5], earlier="features.0", grid=32)
    inside = np.zeros((32, 32), bool)
    inside[4:12, 20:28] = True
    assert (found[inside] == 6).all()
    assert (found[~inside] != 6).all()
