"""Adversarial noise: the script goes on where it stopped."""

import json

import pytest
import typer
from PIL import Image

from experiments.paper import adversarial


def test_on_vignettes_and_on_again(tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "METHODS", ("gradcam", "gradient"))
    adversarial.main("vignettes", 2, None, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "adversarial-vignettes.json").read_text())
    rows = {row["method"]: row for row in report["rows"]}
    assert rows["gradcam"]["fooled"] == 2
    assert rows["gradcam"]["before"]["n"] == rows["gradient"]["before"]["n"] >= 2
    assert rows["gradcam"]["sure before"]["value"] > 0.5 > 1e-4 > rows["gradcam"]["sure after"]["value"]
    assert Image.open(tmp_path / "out" / "adversarial-vignettes.webp").width > 600
    (path,) = (tmp_path / "work").iterdir()
    lines = path.read_text()
    monkeypatch.setattr(adversarial, "judged", lambda *args: pytest.fail("done before"))
    adversarial.main("vignettes", 2, None, tmp_path / "out", tmp_path / "work")
    assert path.read_text() == lines
    assert json.loads((tmp_path / "out" / "adversarial-vignettes.json").read_text()) == report


def test_photographs_need_their_folder():
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        adversarial.main("real", 2, None)
    with pytest.raises(typer.BadParameter, match="no data"):
        adversarial.main("voc")
