"""Words of captions that name a COCO category, and the masks they are judged by."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

import models
from experiments import photo_words
from mmcam.datasets import vignettes


@pytest.fixture
def root(tmp_path):
    """Two photographs in COCO's layout, one of them free to be shown; a dog in the upper left quarter of both."""
    (tmp_path / "coco" / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in (1, 2):
        vignettes.draw(vignettes.seed("test", i)).image.save(tmp_path / "coco" / "images" / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 224, "height": 224, "license": 3 + (i == 2),
                       "flickr_url": f"http://flickr/{i}"})  # fmt: skip
        corners = [0, 0, 112, 0, 112, 112, 0, 112]
        annotations.append({"id": i, "image_id": i, "category_id": 18, "iscrowd": 0, "area": 12544.0,
                            "bbox": [0, 0, 112, 112], "segmentation": [corners]})  # fmt: skip
    index = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    }
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(index))
    return tmp_path


def test_a_word_is_judged_by_the_masks_of_its_category(root):
    coco = COCO(root / "coco" / "instances.json")
    (entry,) = coco.loadImgs([1])
    found = list(photo_words.named("a man with two dogs and a cat", coco, entry, (224, 224)))
    assert [(position, category) for position, category, _ in found] == [(4, "dog")]  # no man, no cat is there
    mask = found[0][2]
    assert mask[:111, :111].all()
    assert not mask[113:].any()
    assert list(photo_words.named("a dog", coco, entry, (100, 100))) == []  # a picture of another size


def test_every_category_word_is_a_category_of_coco():
    assert {"person", "dog", "sports ball"} <= set(photo_words.CATEGORIES.values())
    assert photo_words.CATEGORIES["woman"] == "person"


def test_rows_are_of_all_words_of_people_and_of_the_rest():
    found = [("person", True, False, 0.2), ("dog", False, False, 0.1), ("dog", True, True, 0.3)]
    rows = {row["words"]: row for row in photo_words.rows_of("m", "gradcam", found)}
    assert {name: row["n"] for name, row in rows.items()} == {"all": 3, "people": 1, "other": 2}
    assert rows["all"]["pointing"] == pytest.approx(2 / 3)
    assert rows["other"]["random"] == pytest.approx(0.2)


def test_the_sheet_shows_free_photographs_that_show_what_is_said(root, monkeypatch):
    coco = COCO(root / "coco" / "instances.json")
    captioner = models.load("vignette-show-attend-tell")
    monkeypatch.setattr(type(captioner), "generate", lambda self, x: [self.encode("a dog and a cat")] * len(x))
    sheet, credits = photo_words.draw(captioner, coco, root / "coco" / "images", 5)
    assert list(credits) == [2]
    assert "http://flickr/2" in credits[2]
    assert np.asarray(sheet).std() > 0
