"""A small run of the segmentation experiment: rows, picture, and going on."""

import json

import pytest
from PIL import Image

from experiments.lib import segmented
from experiments.paper import segmentation


@pytest.mark.long
@pytest.mark.slow
def test_table_picture_and_going_on(tmp_path, monkeypatch):
    monkeypatch.setattr(segmented, "CAM_PICTURES", 20)
    monkeypatch.setattr(segmentation, "CAM_PICTURES", 20)
    arguments = (24, 4, 2, 4, 64, 3e-3, 0.5, 8, tmp_path / "out", tmp_path / "work")
    segmentation.main(*arguments)
    report = json.loads((tmp_path / "out" / "segmentation.json").read_text())
    rows = {row["masks"]: row for row in report["rows"]}
    assert len(rows) == 5
    assert rows["seeds of Grad-CAM"]["miou"]["value"] > 0.3, "told what is there, without any training"
    assert "/" not in json.dumps(report["schedule"])
    assert Image.open(tmp_path / "out" / "segmentation.webp").width > 600
    monkeypatch.setattr(segmentation, "seeds_of", lambda *args, **kwargs: pytest.fail("done before"))
    monkeypatch.setattr(segmentation, "drawn", lambda *args: Image.new("RGB", (9, 9)))
    segmentation.main(*arguments)
    assert json.loads((tmp_path / "out" / "segmentation.json").read_text()) == report
