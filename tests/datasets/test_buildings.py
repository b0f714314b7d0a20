"""Drawn houses: the same numbers give the same bytes, and the masks are where the damage is."""

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmcam.datasets import buildings
from mmcam.diagnosis.labelled import read_labelled, region
from mmcam.errors import ExplainError


def pixels(photograph):
    return np.asarray(photograph.image).astype(int)


def test_the_same_numbers_give_the_same_bytes():
    content = b"".join(buildings.photograph(i, i % 2).image.tobytes() for i in range(6))
    assert content == b"".join(buildings.photograph(i, i % 2).image.tobytes() for i in range(6))
    # Known since the world was first drawn: what was measured on it stays measured.
    assert hashlib.sha256(content).hexdigest()[:12] == "e1a340574913"
    for other in (buildings.photograph(1, 0), buildings.photograph(0, 1), buildings.photograph(0, 0, seed=1)):
        assert (pixels(other) != pixels(buildings.photograph(0, 0))).mean() > 0.3


def test_a_building_keeps_its_damage_and_each_damage_is_there():
    drawn = [buildings.house(i) for i in range(300)]
    assert all(buildings.photograph(i, view).damage == drawn[i].damage for i in range(5) for view in range(3))
    shares = [sum(it.damage == damage for it in drawn) / len(drawn) for damage in buildings.DAMAGES]
    np.testing.assert_allclose(shares, buildings.SHARES, atol=3 * (0.25 / 300) ** 0.5)


@pytest.mark.parametrize("number", range(0, 60, 3))
def test_masks_are_where_the_damage_is(number):
    """A twin of the building without its damage differs in the masked pixels, and in no others."""
    it = buildings.house(number)
    for damage in buildings.DAMAGES[1:]:
        damaged, sound = buildings.seen(replace(it, damage=damage), 1), buildings.seen(replace(it, damage="sound"), 1)
        differs = (pixels(damaged) != pixels(sound)).any(-1)
        assert not sound.mask.any()
        assert damaged.mask.sum() >= 12, damage
        assert not (differs & ~damaged.mask).any(), damage
        assert differs[damaged.mask].mean() > 0.9, damage


def test_files(tmp_path):
    table = buildings.export(tmp_path / "town", buildings=8, views=2)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    read = read_labelled(table)
    assert len({each.group for each in read.pictures}) == 8
    for number, picture in enumerate(read.pictures):
        drawn = buildings.photograph(number // 2, number % 2)
        assert picture.labels == (drawn.damage,)
        assert Image.open(picture.path).tobytes() == drawn.image.tobytes()
        if drawn.damage != buildings.SOUND:
            np.testing.assert_array_equal(region(picture, drawn.damage, (224, 224)), drawn.mask)
        else:
            assert not picture.masks
    with pytest.raises(ExplainError, match="is there already; name another place"):
        buildings.export(tmp_path / "town")


@pytest.mark.parametrize(("number", "view", "seed"), [(-1, 0, 0), (0, -1, 0), (0, 0, -2)])
def test_no_such_building(number, view, seed):
    with pytest.raises(ValueError, match="from 0; there is no -"):
        buildings.photograph(number, view, seed)
