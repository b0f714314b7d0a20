"""Seeds: what the figures count, by hand, and a run that goes on."""

import json

import pytest
from PIL import Image

from experiments.lib import sec_seeds
from experiments.paper import seeds


def test_figures_by_hand():
    # [label, seeded and true, seeded, true]: background, then two kinds, the second never seeded.
    record = {"counts": {"gradcam": [[0, 9, 10, 50], [1, 6, 8, 10], [2, 0, 0, 4]]}}
    found = {name: figure["value"] for name, figure in seeds.figures("gradcam", [record, record]).items()}
    assert found == pytest.approx(
        {"miou": (6 / 12 + 0) / 2, "precision": 12 / 16, "background": 0.9, "recall": 12 / 28}
    )


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
