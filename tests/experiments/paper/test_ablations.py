"""The ablations' judge against masks counted by hand, whole runs on two pictures, and their records."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

import mmcam
from experiments.lib.ablated import WHOLE, figures, judged, settings_of
from experiments.paper.ablations import main, vignette
from mmcam.image import Geometry

SUBJECT = vignette(3)


def explained(heatmap):
    values = torch.from_numpy(np.asarray(heatmap, np.float32))
    known = {"target": "", "score": 0.0, "weights": None, "layer": "", "method": "", "model": ""}
    return mmcam.Explanation(values=values, image=SUBJECT.picture, geometry=Geometry((224, 224), (224, 224)), **known)


def test_a_map_of_the_thing_itself_is_right_and_its_opposite_wrong():
    for kind, (boxes, mask) in SUBJECT.truth.items():
        subject = type(SUBJECT)("3", SUBJECT.picture, {kind: (boxes, mask)})
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
    assert len(rows) == 2 * 10
    for rule in ("guided ReLUs", "deconvnet ReLUs"):  # nothing to apply them to behind MobileNetV2's last layer
        assert by_name["MobileNetV2", rule]["difference"]["value"] == 0
    assert len(lines(tmp_path / "work")) == 2


def test_mistakes_are_said(tmp_path):
    with pytest.raises(typer.BadParameter, match="no data 'drawings'; choose of vignettes, real"):
        main(data="drawings", out=tmp_path)
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        main(data="real", root=None, out=tmp_path)
