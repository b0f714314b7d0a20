"""Failures by hand: what the figures count, and that half-finished records are refused."""

import pytest
import typer
from records import record
from torch import nn

from experiments.lib.boxes import Net, Subject
from experiments.paper import failure_modes
from mmcam import Preprocess


def at(point, base):
    """A record whose maps of classes 1 and 7 have their maxima at two points."""
    base["maps"] = [found | {"peak": list(point[found["label"]])} for found in base["maps"]]
    return base


def test_the_right_thing_by_a_wrong_name_and_another_place():
    truth = {"7": [[0, 0, 49, 39]]}
    boxes = {1: [0, 0, 49, 19], 7: [0, 0, 49, 39]}
    misnamed = at({1: (5, 5), 7: (9, 9)}, record("a", [1, 7], truth, boxes))
    elsewhere = at({1: (90, 70), 7: (9, 9)}, record("b", [1, 3], truth, {**boxes, 3: None}) | {"maps": [
        {"label": 1, "boxes": {"0.15": [60, 50, 99, 79]}}, {"label": 7, "boxes": {"0.15": None}},
    ]})  # fmt: skip
    right = at({1: (5, 5), 7: (9, 9)}, record("c", [7, 1], truth, boxes))
    rows = {row["pictures"]: row for row in failure_modes.rows_of([misnamed, elsewhere, right], 0)}
    assert {name: row["n"] for name, row in rows.items()} == {"wrong": 2, "wrong, near": 1, "right": 1}
    wrong = {name: rows["wrong"][name]["value"] for name in failure_modes.FIGURES}
    assert wrong == {"true points": 1, "predicted points": 0.5, "both": 0.5, "elsewhere": 0.5, "overlap": 0.25}
    assert rows["wrong, near"]["overlap"]["value"] == pytest.approx(0.5)
    assert rows["right"]["predicted points"]["value"] == 1, "of a right picture both maps are the same one"


def test_records_have_to_be_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(failure_modes, "subjects", lambda *args: iter([Subject("a", None, {}), Subject("b", None, {})]))
    monkeypatch.setattr(failure_modes, "nets_of", lambda *args: [Net("n", nn.Linear(1, 1), Preprocess())])
    with pytest.raises(typer.BadParameter, match=r"0 of 2 pictures .* run python -m experiments.paper.localisation"):
        failure_modes.main("real", tmp_path, work=tmp_path)
    with pytest.raises(typer.BadParameter, match="of photographs"):
        failure_modes.main("vignettes", tmp_path)
