"""Regions of a small segmenter: its truth, its figures worked out by hand, and the command on two pictures."""

import json

import numpy as np
import pytest
import torch

from experiments.checks import region_maps
from experiments.lib.small_segmenter import CLASSES, trained, truth_of
from mmcam import Explanation, Geometry
from mmcam.datasets import vignettes


def test_the_truth_of_a_pixel_is_the_thing_in_front():
    scene = vignettes.draw(vignettes.seed("train", 3))
    truth = truth_of(scene)
    for kind in {thing.kind for thing in scene.truth.things}:
        assert ((truth == CLASSES.index(kind)) == scene.kind_mask(kind)).all()


def test_energy_and_pointing_by_hand():
    scene = vignettes.draw(vignettes.seed("train", 3)).image.resize((4, 4))
    values = torch.tensor([[4.0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2], [-9, 0, 0, 0]])
    exp = Explanation("x", 1.0, values, None, "layer", "gradcam", "Net", scene, Geometry((4, 4), (4, 4)))
    mask, others = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    mask[0], others[2] = True, True
    assert region_maps.measured(exp, mask, others) == pytest.approx({"energy": 0.5, "others": 0.25, "pointing": 1})
    assert region_maps.middle(mask) == (1, 0)


@pytest.mark.long
def test_the_command_on_two_pictures(tmp_path):
    region_maps.main(pictures=2, scenes=40, epochs=3, out=tmp_path)
    report = json.loads((tmp_path / "region-maps.json").read_text())
    assert {row["method"] for row in report["rows"]} <= set(region_maps.METHODS)
    assert 0 <= report["iou"]["nothing"] <= 1
    assert "| region | method |" in (tmp_path / "region-maps.md").read_text()


def test_training_is_the_same_twice():
    one, other = (trained(scenes=20, epochs=1).head[0].weight for _ in range(2))
    torch.testing.assert_close(one, other)
