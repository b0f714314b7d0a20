"""The ablations' judge against masks counted by hand, and errors that count pictures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import mmcam
from experiments.lib.ablated import WHOLE, figures, judged, settings_of
from experiments.paper.ablations import vignette
from mmcam.image import Geometry

SUBJECT = vignette(3)
WHOLE_PICTURE = mmcam.Preprocess(size=(224, 224), mode="squash")


def explained(heatmap):
    values = torch.from_numpy(np.asarray(heatmap, np.float32))
    known = {"target": "", "score": 0.0, "weights": None, "layer": "", "method": "", "model": ""}
    return mmcam.Explanation(
        values=values, image=SUBJECT.open(WHOLE_PICTURE), geometry=Geometry((224, 224), (224, 224)), **known
    )


def test_a_map_of_the_thing_itself_is_right_and_its_opposite_wrong():
    for kind, (boxes, mask) in SUBJECT.truth.items():
        subject = replace(SUBJECT, truth={kind: (boxes, mask)})
        left, top, right, bottom = boxes[0]
        whole = np.zeros((224, 224))
        whole[top : bottom + 1, left : right + 1] = mask[top : bottom + 1, left : right + 1] + 0.5
        assert list(judged(subject, [explained(whole)])) == [(True, True)]
        # Scaled from its minimum to its maximum, nearly the whole map passes the threshold: its maximum stays right.
        below = whole - 9 * (whole == 0) - 400 * (np.arange(224) == 0)
        assert list(judged(subject, [explained(below)])) == [(False, True)]
        assert list(judged(subject, [explained(whole == 0)])) == [(False, False)]
        assert list(judged(subject, [explained(np.zeros((224, 224)))])) == [(False, False)], "an empty map"


def test_errors_count_pictures_not_maps():
    """Two pictures with two maps each; the ablation misses both maps of the second."""
    rows = settings_of("vignette-classifier")
    right, wrong = [[True, True]] * 2, [[False, True]] * 2
    records = [
        {"picture": "0", "maps": dict.fromkeys(rows, right)},
        {"picture": "1", "maps": {**dict.fromkeys(rows, right), "no ReLU": wrong}},
    ]
    by_name = {row["name"]: row for row in figures("vignette-classifier", records)}
    assert by_name[WHOLE]["localisation error"].value == 0
    change = by_name["no ReLU"]["difference"]
    assert (change.value, change.n, change.pictures) == (50, 4, 2)
    # By hand: the pictures' sums of deviations are -100 and 100, so √(2/1 · 20000)/4.
    assert change.standard_error == pytest.approx(math.sqrt(2 * 20000) / 4)
    assert by_name["no ReLU"]["published difference"] == pytest.approx(74.98 - 59.65)
