"""Model choice: the script goes on where it stopped, and its table has the figures of its records."""

import json

import pytest
import typer

import models
from experiments.paper import model_choice
from mmcam.diagnosis.choice import run
from mmcam.diagnosis.choice.run import Candidate


def test_on_vignettes_and_on_again(tmp_path, monkeypatch):
    classifier = models.load("vignette-classifier")
    monkeypatch.setattr(model_choice, "heads", lambda *_: (Candidate("a", classifier), Candidate("b", classifier)))
    monkeypatch.setattr(model_choice, "METHODS", ("gradcam",))
    model_choice.main("vignettes", 3, None, 0, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "model-choice-vignettes.json").read_text())
    assert report["compared"] == 3
    (row,) = report["rows"]
    assert row["rating"] == {"value": 0, "low": 0, "high": 0}, "the same model twice"
    assert row["preferred"] == [0, 3, 0]
    assert row["of"]["points"][0]["value"] > 0.5
    text = (tmp_path / "out" / "model-choice-vignettes.md").read_text()
    assert "+0.00 (+0.00 to +0.00)" in text
    monkeypatch.setattr(run, "_judged", lambda *_: pytest.fail("done before"))
    model_choice.main("vignettes", 3, None, 0, tmp_path / "out", tmp_path / "work")
    assert (tmp_path / "out" / "model-choice-vignettes.md").read_text() == text


def test_photographs_need_their_folder():
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        model_choice.main("real", 2, None)
    with pytest.raises(typer.BadParameter, match="no data"):
        model_choice.main("voc")
