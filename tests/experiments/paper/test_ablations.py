"""Ablations: whole runs on two pictures, and their records."""

import json
import os
from pathlib import Path

import pytest
import typer

from experiments.paper.ablations import main


def lines(folder):
    return {path.name: path.read_text().splitlines() for path in folder.glob("*.jsonl")}


@pytest.mark.slow
def test_two_vignettes_and_no_work_twice(tmp_path):
    main(pictures=2, out=tmp_path, work=tmp_path / "work")
    text = (tmp_path / "ablations-vignettes.md").read_text()
    assert "| vignette-classifier | no ReLU |" in text
    assert "+0.0 ± 0.0" in text
    assert (tmp_path / "ablations-vignettes.png").stat().st_size > 10_000
    first = lines(tmp_path / "work")
    ((name, records),) = first.items()
    assert [json.loads(line)["picture"] for line in records] == ["0", "1"]
    table = (tmp_path / "ablations-vignettes.json").read_text()
    main(pictures=2, out=tmp_path, work=tmp_path / "work")
    assert lines(tmp_path / "work") == first
    assert (tmp_path / "ablations-vignettes.json").read_text() == table
    (tmp_path / "work" / name).write_text(records[0] + "\n" + records[1][:40])  # stopped while it wrote
    main(pictures=2, out=tmp_path, work=tmp_path / "work")
    assert lines(tmp_path / "work") == first


@pytest.mark.skipif("MMCAM_REAL_DATA" not in os.environ, reason="MMCAM_REAL_DATA is not set: no real photographs here")
@pytest.mark.slow
def test_two_photographs(tmp_path):
    main(data="real", root=Path(os.environ["MMCAM_REAL_DATA"]), pictures=2, out=tmp_path, work=tmp_path / "work")
    rows = json.loads((tmp_path / "ablations-real.json").read_text())["rows"]
    by_name = {(row["network"], row["name"]): row for row in rows}
    assert len(rows) == 4 * 10
    for rule in ("guided ReLUs", "deconvnet ReLUs"):  # nothing to apply them to behind MobileNetV2's last layer
        assert by_name["MobileNetV2", rule]["difference"]["value"] == 0
    assert len(lines(tmp_path / "work")) == 4


def test_mistakes_are_said(tmp_path):
    with pytest.raises(typer.BadParameter, match="no data 'drawings'; choose of vignettes, real"):
        main(data="drawings", out=tmp_path)
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        main(data="real", root=None, out=tmp_path)
