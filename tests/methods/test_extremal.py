"""Extremal perturbations: smooth masks of an area, over what a network reads and nothing else."""

import pytest
import torch
from tiny import Gap, pictures, seeded
from torch import nn

from mmcam import ExplainError, attribute
from mmcam.methods.extremal import _faded, _pyramid, _smooth


class Reads(nn.Module):
    """The contrast inside one square: blurred, it is gone."""

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns, self.features = rows, columns, nn.Conv2d(3, 3, 1)

    def forward(self, x):
        own = x[:, :, self.rows, self.columns].square().mean((1, 2, 3))
        return torch.stack([own, -own], 1) * 50


@pytest.mark.parametrize("place", [(slice(2, 12), slice(13, 23)), (slice(12, 22), slice(1, 11))])
def test_what_is_read_is_kept(place):
    x = torch.sign(pictures(1, 24))
    ((mask,),) = attribute(Reads(*place), x, [0], method="extremal", area=0.2, steps=100, step=2)
    assert mask.shape == (24, 24)
    inside = torch.zeros(24, 24, dtype=bool)
    inside[place] = True
    assert mask[inside].mean() > 0.8
    assert mask[~inside].mean() < 0.3
    top = torch.zeros(24 * 24, dtype=bool)
    top[mask.flatten().topk(int(inside.sum())).indices] = True
    assert (top.view(24, 24) & inside).sum() > 0.8 * inside.sum()


def test_pictures_of_a_batch_do_not_touch_one_another():
    x = pictures(2, 16)
    both = attribute(seeded(Gap), x, [1], method="extremal", steps=5, step=4)
    one = attribute(seeded(Gap), x[1:], [1], method="extremal", steps=5, step=4)
    torch.testing.assert_close(both[:, 1:], one, rtol=1e-4, atol=1e-5)


def test_a_mask_is_the_smooth_maximum_of_bumps():
    """At each pixel, over all points, in plain Python; of one point a bump that is flat around it."""
    grid = torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = _smooth(grid, (12, 16), 4)[0, 0]
    for i, j in ((0, 0), (5, 7), (11, 15), (3, 9)):
        values = []
        for a in range(3):
            for b in range(4):
                d = (((i + 0.5) / 4 - 0.5 - a) ** 2 + ((j + 0.5) / 4 - 0.5 - b) ** 2) ** 0.5
                values.append(grid[0, 0, a, b] * torch.exp(torch.tensor(-(max(d - 1, 0) ** 2) / 4)))
        values = torch.stack(values)
        expected = (values * (values * 20).softmax(0)).sum()
        assert float(mask[i, j]) == pytest.approx(float(expected), abs=2e-2), "points that are away count for little"
    one = torch.zeros(1, 1, 5, 5)
    one[0, 0, 2, 2] = 1
    assert float(_smooth(one, (20, 20), 4)[0, 0, 10, 10]) > 0.99


def test_where_a_mask_is_one_the_picture_is_as_it_is():
    x = pictures(1, 16)
    pyramid = _pyramid(x)
    torch.testing.assert_close(_faded(pyramid, torch.ones(1, 1, 16, 16)), x)
    torch.testing.assert_close(_faded(pyramid, torch.zeros(1, 1, 16, 16)), pyramid[0])
    half = _faded(pyramid, torch.full((1, 1, 16, 16), 0.5))
    torch.testing.assert_close(half, (pyramid[3] + pyramid[4]) / 2)
    assert pyramid[0].std() < pyramid[4].std() < x.std()


@pytest.mark.parametrize("options", [{"area": 0.0}, {"area": 1.0}, {"steps": 0}, {"step": 0}])
def test_a_mask_that_is_none(options):
    with pytest.raises(ExplainError, match=r"make no mask; pass 0 < area < 1"):
        attribute(seeded(Gap), pictures(1), [1], method="extremal", **options)
