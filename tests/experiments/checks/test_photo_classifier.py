"""The table of the photo-classifier: its figures by hand, and the script on a few photographs."""

import json
import os
from pathlib import Path

import pytest
import torch

import models
from experiments.checks.photo_classifier import main, scores

REAL = os.environ.get("MMCAM_REAL_DATA")


def test_figures_by_hand():
    probability = torch.tensor(
        [
            [0.60, 0.10, 0.09, 0.08, 0.07, 0.05, 0.01],  # right
            [0.02, 0.70, 0.09, 0.08, 0.06, 0.04, 0.01],  # the label comes second
            [0.40, 0.20, 0.10, 0.09, 0.08, 0.07, 0.06],  # the label comes sixth
        ]
    )
    every, sure, unsure = scores(probability, torch.tensor([0, 2, 5]))
    assert [part["pictures"] for part in (every, sure, unsure)] == [3, 2, 1]
    assert every["top1"]["value"] == pytest.approx(1 / 3)
    assert every["top5"]["value"] == pytest.approx(2 / 3)
    assert (sure["top1"]["value"], sure["top5"]["value"], unsure["top5"]["value"]) == (0.5, 1, 0)
    assert sure["probability"]["value"] == pytest.approx(0.65)
    assert sure["top1"]["standard_error"] == pytest.approx(0.5)


@pytest.mark.skipif(REAL is None, reason="needs MMCAM_REAL_DATA")
def test_it_writes_its_table_and_the_card(tmp_path):
    card = tmp_path / "card.json"
    card.write_text((models.WEIGHTS / "photo-classifier.json").read_text())
    main(data=Path(REAL or ""), pictures=4, out=tmp_path, card=card)
    rows = json.loads((tmp_path / "photo-classifier.json").read_text())["rows"]
    assert rows[0]["pictures"] == 4
    told = json.loads(card.read_text())
    assert told["scores"]["ILSVRC validation, a subset"]["rows"] == rows
    assert told["architecture"] == {"name": "efficientnet_lite0"}
    assert "| all | 4 |" in (tmp_path / "photo-classifier.md").read_text()
