"""The bundled models' maps fall on what they are about, far more often than chance or the centre."""

import json

import pytest

from experiments.vignette_pointing import main


@pytest.mark.slow
def test_maps_point_at_the_truth(tmp_path):
    main(pictures=40, out=tmp_path)
    report = json.loads((tmp_path / "pointing-test-gradcam.json").read_text())
    rows = {(row["task"], row["category"]): row for row in report["rows"]}
    for key in (("class", "object"), ("word", "object"), ("answer", "all")):
        row = rows[key]
        assert row["n"] >= 40
        assert row["pointing"] > 3 * row["random"]
        assert row["pointing"] > row["centre"] + 0.15
    assert "| word | object |" in (tmp_path / "pointing-test-gradcam.md").read_text()
