"""Which heads are chosen, against a flood fill, a distance to a line, and attention whose right heads are known."""

import numpy as np
import pytest

from mmcam.methods.localisation_heads import chosen_heads, elbow, spatial_entropy


def flooded(attention):
    """Entropy of the parts, found by spreading from cell to cell."""
    high = np.clip(attention - 2 * attention.mean(), 0, None)
    left, shares = {tuple(cell) for cell in np.argwhere(high > 0.001)}, []
    while left:
        part, edge = 0.0, [left.pop()]
        while edge:
            y, x = edge.pop()
            part += high[y, x]
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        shares.append(part / high.sum())
    return -sum(share * np.log(share) for share in shares)


@pytest.mark.parametrize("seed", range(6))
def test_entropy_is_that_of_flooded_parts(seed):
    attention = np.random.default_rng(seed).random((9, 12)) ** 6
    assert spatial_entropy(attention) == pytest.approx(flooded(attention))


def test_entropy_of_known_parts():
    one, two = np.zeros((8, 8)), np.zeros((8, 8))
    one[2:4, 2:4] = 1  # the corner of a diagonal joins
    one[4, 4] = 1
    two[1, 1] = two[6, 6] = 1
    assert spatial_entropy(one) == pytest.approx(0)
    assert spatial_entropy(two) == pytest.approx(np.log(2))
    assert spatial_entropy(np.full((8, 8), 0.1)) == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_the_elbow_is_furthest_from_the_line(seed):
    values = np.random.default_rng(seed).random(40) ** 4
    y = np.sort(values)
    start, end = np.array([0, y[0]]), np.array([39, y[-1]])
    apart = [abs(np.linalg.det(np.stack([end - start, np.array([i, v]) - start]))) for i, v in enumerate(y)]
    assert elbow(values) == y[int(np.argmax(apart))]
    assert elbow(np.array([0.3, 0.2])) == 0.2


def spot(y, x, much):
    """Attention to one place of 9×9, by a layer that pays the rest of its attention to words."""
    ys, xs = np.mgrid[:9, :9]
    bump = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 2)
    return much * bump / bump.sum()


def test_heads_that_look_at_one_place_are_chosen():
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.ones(81), (5, 4)).reshape(5, 4, 9, 9) * 0.04 * rng.random((5, 4, 1, 1))  # hardly looking
    maps[2, 1], maps[4, 0] = spot(3, 3, 0.8), spot(3, 4, 0.7)
    maps[3, 3] = spot(1, 1, 0.4) + spot(6, 7, 0.4)  # two places
    maps[0, 0] = spot(4, 4, 0.9)  # too early
    maps[3, 0] = spot(8, 2, 0.9)  # the last row, where nothing is to be seen
    maps[4, 3] = np.full((9, 9), 0.9 / 81)  # much, everywhere
    sums = maps.sum((2, 3))
    assert set(chosen_heads(maps, sums, 2)) == {(2, 1), (4, 0)}
    assert chosen_heads(maps, sums, 9)[2] == (3, 3)
    assert len(chosen_heads(maps, sums, 9)) == 3


def test_where_no_head_qualifies_those_that_look_most_stand_in():
    maps = np.stack([np.full((4, 4), much / 16) for much in (0.1, 0.9, 0.2)])[None]
    assert chosen_heads(maps, maps.sum((2, 3)), 1) == [(0, 1)]
