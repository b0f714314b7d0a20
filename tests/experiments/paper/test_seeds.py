"""Seeds by hand: which class gets a cell, what the figures count, and a run that goes on."""

import json

import numpy as np
import pytest
from PIL import Image

import models
from experiments.lib import sec_seeds
from experiments.paper import seeds
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


def test_figures_by_hand():
    # [label, seeded and true, seeded, true]: background, then two kinds, the second never seeded.
    record = {"counts": {"gradcam": [[0, 9, 10, 50], [1, 6, 8, 10], [2, 0, 0, 4]]}}
    found = {name: figure["value"] for name, figure in seeds.figures("gradcam", [record, record]).items()}
    assert found == pytest.approx(
        {"miou": (6 / 12 + 0) / 2, "precision": 12 / 16, "background": 0.9, "recall": 12 / 28}
    )


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


def test_table_picture_and_going_on(tmp_path, monkeypatch):
    for module in (sec_seeds, seeds):
        monkeypatch.setattr(module, "METHODS", ("gradcam", "gradient"))
    monkeypatch.setattr(seeds, "RESAMPLES", 20)
    seeds.main(3, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "seeds.json").read_text())
    rows = {row["method"]: row for row in report["rows"]}
    assert rows["gradcam"]["miou"]["value"] > 2 * max(rows[name]["miou"]["value"] for name in sec_seeds.BASELINES)
    assert Image.open(tmp_path / "out" / "seeds.webp").width > 600
    monkeypatch.setattr(seeds, "counted", lambda *args: pytest.fail("done before"))
    seeds.main(3, tmp_path / "out", tmp_path / "work")
    assert json.loads((tmp_path / "out" / "seeds.json").read_text()) == report
