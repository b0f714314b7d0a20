"""The judge is judged: it passes cells that lie right, and none that are turned, shifted or shuffled."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo import judge
from zoo.judge import judged
from zoo.network import MAP, Network
from zoo.own_transformers import Tokens
from zoo.planted import areas, constant, misplaced, planted
from zoo.reference import raw_evidence

from mmcam.places.grids import tokens as standing

SIZE = (3, 64, 96)
ROWS, COLUMNS = 8, 12


def tokens(strength=0.0):
    """Patches of 8 as tokens (L,K), row by row, each with some of the mean of all."""
    torch.manual_seed(0)
    patches = nn.Conv2d(3, 10, 8, 8)

    def read(picture):
        with torch.no_grad():
            t = patches(picture[None])[0].flatten(1).T
        return t + strength * t.mean(0)

    return read


def put(t):
    return t.T.unflatten(1, (ROWS, COLUMNS))


def order(numbers):
    return lambda t: put(t[numbers.flatten()])


NUMBERS = torch.arange(ROWS * COLUMNS).view(ROWS, COLUMNS)
WRONG = {
    "shifted by a class token": order(NUMBERS.flatten().roll(1)),
    "shifted the other way": order(NUMBERS.flatten().roll(-1)),
    "shifted by two registers": order(NUMBERS.flatten().roll(2)),
    "read column by column": lambda t: t.T.unflatten(1, (COLUMNS, ROWS)).transpose(1, 2),
    "read as higher than wide": lambda t: t.T.unflatten(1, (COLUMNS, ROWS)),
    "mirrored": order(NUMBERS.flip(1)),
    "upside down": order(NUMBERS.flip(0)),
    "turned": order(NUMBERS.flip(0, 1)),
    "rolled by two rows": order(NUMBERS.roll(2, 0)),
    "rolled by half a row": order(NUMBERS.roll(6, 1)),
    "back and forth": order(torch.where(torch.arange(ROWS)[:, None] % 2 == 1, NUMBERS.flip(1), NUMBERS)),
    "nested two by two": order(NUMBERS.unflatten(1, (6, 2)).unflatten(0, (4, 2)).permute(0, 2, 1, 3)),
    "shuffled": order(NUMBERS.flatten()[torch.randperm(96, generator=torch.Generator().manual_seed(0))]),
    "two rows exchanged": order(NUMBERS[[7, 1, 2, 3, 4, 5, 6, 0]]),
    "the upper half only": lambda t: order(NUMBERS)(t)[:, :4],
    "the centre only": lambda t: order(NUMBERS)(t)[:, 2:6, 3:9],
    "stretched": lambda t: F.interpolate(order(NUMBERS)(t)[None, :, :, :6], (ROWS, COLUMNS))[0],
    "no cell anywhere": lambda t: put(t.mean(0).expand_as(t)),
    "all cells alike": lambda t: put(t.sum(0) * torch.linspace(0.5, 1.5, len(t))[:, None]),
}


@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_cells_that_lie_right_pass(strength):
    read = tokens(strength)
    assert not misplaced(lambda pictures: [put(read(picture)) for picture in pictures], SIZE)


@pytest.mark.parametrize("wrong", WRONG, ids=list(WRONG))
def test_no_other_cells_pass(wrong):
    read = tokens()
    assert misplaced(lambda pictures: [WRONG[wrong](read(picture)) for picture in pictures], SIZE)


@pytest.mark.parametrize(("size", "grid"), [((3, 64, 64), (8, 8)), ((1, 40, 120), (5, 15)), ((3, 32, 48), (32, 48))])
@pytest.mark.parametrize("turn", ["rolled", "mirrored", "turned"])
def test_grids_of_other_sizes(size, grid, turn):
    turned = {
        "rolled": lambda z: z.roll(grid[1] // 3, 2),
        "mirrored": lambda z: z.flip(2),
        "turned": lambda z: z.flip(1),
    }
    patch = (size[1] // grid[0], size[2] // grid[1])

    def right(pictures):
        return [F.avg_pool2d(picture[None], patch)[0] for picture in pictures]

    assert not misplaced(right, size)
    assert misplaced(lambda pictures: [turned[turn](z) for z in right(pictures)], size)


def test_wide_receptive_fields_pass_and_their_mirror_images_do_not():
    """Each cell answers to its neighbours' pixels, too, three cells about."""

    def wide(pictures):
        return [F.avg_pool2d(F.avg_pool2d(p[None], 8), 7, 1, 3)[0] for p in pictures]

    assert not misplaced(wide, (3, 96, 144))
    assert misplaced(lambda pictures: [z.flip(2) for z in wide(pictures)], (3, 96, 144))


def test_what_is_planted_is_one_cell():
    for area in areas((64, 96), (8, 12)):
        changed = (planted((3, 64, 96), area, 1.0)[0] != constant((3, 64, 96))).any(0).nonzero()
        assert (changed.amin(0).tolist(), changed.amax(0).tolist()) == (
            [area.top, area.left],
            [area.top + 7, area.left + 11 - 4],
        )


class Halved(Tokens):
    """Its grid method is off: it leaves the last token out and reads the class token as a patch."""

    def grid(self, layer, tensor, picture):
        return standing(ROWS, COLUMNS) if tensor.ndim == 3 else None


def test_a_network_that_declares_a_wrong_grid_is_not_right():
    network = Network("off by one", lambda: Halved(1), outcome=MAP)
    assert judged(network, network.model(), "blocks.0").kind != "right"


def test_gradients_are_compared(monkeypatch):
    """A map that is right in place but made of half the gradient does not pass."""
    network = Network("plain tokens", lambda: Tokens(1))

    def halved(*given):
        raw, gradient = raw_evidence(*given)
        return raw, gradient / 2

    monkeypatch.setattr(judge, "raw_evidence", halved)
    assert "gradient: weights off by" in judged(network, network.model(), "blocks.0").note
