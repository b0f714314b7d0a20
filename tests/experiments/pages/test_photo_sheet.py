"""The contact sheet: which photographs, which words, and whether a word is said to hit only where it does."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import Captioner, seeded

import mmcam
from experiments.pages import photo_sheet

ROOT = os.environ.get("MMCAM_REAL_DATA")


class Coco:
    """One photograph with a dog in its left half."""

    def __init__(self, mask):
        self.mask = mask

    def getCatIds(self, names):
        return [1] if names == ["dog"] else []

    def getAnnIds(self, picture, categories):
        return [1]

    def loadAnns(self, ids):
        return [{}]

    def annToMask(self, annotation):
        return self.mask


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_word_hits_where_the_maximum_of_its_map_lies_on_the_thing(side):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    caption = mmcam.explain_caption(seeded(Captioner), image, caption="a dog")
    x, _ = caption[1].peak()
    mask = np.zeros((32, 32), np.uint8)
    mask[:, : x + 1] = 1
    mask = mask if side == "left" else 1 - mask
    (dog,) = photo_sheet.chosen(caption, Coco(mask), {"id": 0})
    assert dog.text == "dog"
    assert dog.verdict == ("hit" if side == "left" else "missed")


@pytest.mark.skipif(not ROOT, reason="MMCAM_REAL_DATA is not set: no photographs here")
def test_the_sheet_shows_free_photographs_and_credits_them(monkeypatch, tmp_path):
    monkeypatch.setattr(photo_sheet, "PHOTOGRAPHS", 3)
    monkeypatch.setattr(mmcam.models, "load", lambda name: seeded(Captioner))
    photo_sheet.main(Path(ROOT), "tiny", layer="encoder.3", images=tmp_path, out=tmp_path)
    with Image.open(tmp_path / "photo-sheet.webp") as sheet:
        assert sheet.width > 8 * photo_sheet.SIDE
    index = json.loads((Path(ROOT) / "coco" / "instances.json").read_text())["images"]
    free = {entry["id"]: entry["flickr_url"] for entry in index if entry["license"] == 4}
    rows = json.loads((tmp_path / "photo-sheet.json").read_text())["rows"]
    assert len({row["COCO id"] for row in rows}) == 3
    for row in rows:
        assert free[row["COCO id"]] == row["source"]
        assert row["source"] in (tmp_path / "photo-sheet.md").read_text()
