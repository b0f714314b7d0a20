"""Words of captions that name a COCO category, and the masks they are judged by."""

import json

import numpy as np
import pytest
import typer
from pycocotools.coco import COCO

import mmcam
import models
from experiments.lib import coco_categories, word_maps
from experiments.lib.word_maps import READINGS, places_of
from experiments.paper import photo_words, why_gradcam_words
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
    found = list(coco_categories.named("a man with two dogs and a cat", coco, entry, (224, 224)))
    assert [(position, category) for position, category, _ in found] == [(4, "dog")]  # no man, no cat is there
    mask = found[0][2]
    assert mask[:111, :111].all()
    assert not mask[113:].any()
    assert list(coco_categories.named("a dog", coco, entry, (100, 100))) == []  # a picture of another size


def test_phrases_are_judged_by_their_noun(root):
    coco = COCO(root / "coco" / "instances.json")
    (entry,) = coco.loadImgs([1])
    assert [position for position, _, _ in coco_categories.named("a golden retriever", coco, entry, (224, 224))] == [2]
    assert list(coco_categories.named("a dog house", coco, entry, (224, 224))) == []


def word(category, hit, prior, centre, chance):
    hits = {"gradcam": hit, photo_words.PRIOR: prior}
    return {"category": category, "hits": hits, "centre": centre, "chance": chance}


def test_rows_are_of_all_words_of_people_and_of_the_rest():
    found = [
        {"picture": 1, "words": [word("person", True, False, False, 0.2), word("dog", False, True, False, 0.1)]},
        {"picture": 2, "words": [word("dog", True, True, True, 0.3)]},
        {"picture": 3, "words": []},
    ]
    rows = {row["words"]: row for row in photo_words.rows_of("m", "gradcam", found)}
    counts = {"all": 3, "people": 1, "other": 2, "even ids": 1, "odd ids": 2}
    assert {name: row["n"] for name, row in rows.items()} == counts
    assert rows["all"]["more than the prior"]["value"] == pytest.approx(0)
    assert rows["other"]["more than the prior"]["value"] == pytest.approx(-1 / 2)
    assert rows["all"]["pointing"] == pytest.approx(2 / 3)
    assert rows["other"]["random"] == pytest.approx(0.2)
    # Residuals by picture: 1/3 − 2/3 = −1/3 and 1/3; √(2/1 · (1/9 + 1/9)) / 3.
    assert rows["all"]["standard_error"] == pytest.approx(2 / 9)
    (row, *_) = photo_words.rows_of("m", photo_words.PRIOR, found)
    assert row["pointing"] == pytest.approx(2 / 3)


def test_the_prior_of_a_word_is_where_its_things_are_in_other_photographs(root):
    table = json.loads((root / "coco" / "instances.json").read_text())
    right, down = [112, 0, 224, 0, 224, 112, 112, 112], [0, 112, 112, 112, 112, 224, 0, 224]
    table["annotations"][1]["segmentation"] = [right]
    person = table["annotations"][1] | {"id": 3, "category_id": 1, "segmentation": [down]}
    table["annotations"].append(person)
    (root / "coco" / "instances.json").write_text(json.dumps(table))
    coco = COCO(root / "coco" / "instances.json")
    usual = coco_categories.usual_places(coco)
    first, second = (coco_categories.grids_of(coco, entry) for entry in coco.loadImgs([1, 2]))
    assert set(second) == {"dog", "person"}
    np.testing.assert_allclose(coco_categories.elsewhere(usual, first, "dog"), second["dog"], atol=1e-6)
    # No other photograph shows a person: all things of the other one, which is the dog in the upper left.
    np.testing.assert_allclose(coco_categories.elsewhere(usual, second, "person"), first["dog"], atol=1e-6)


def captioner_that_says(monkeypatch, text):
    captioner = models.load("vignette-show-attend-tell")
    monkeypatch.setattr(type(captioner), "generate", lambda self, x: [self.encode(text)] * len(x))
    return captioner


def judged(root, captioner, written, path):
    coco = COCO(root / "coco" / "instances.json")
    usual, entries = coco_categories.usual_places(coco), coco.loadImgs([1, 2])
    folder = root / "coco" / "images"
    readings = {name: READINGS[name] for name in ("gradcam", "attention", "layercam × finer")}
    return photo_words.judged(captioner, coco, entries, folder, readings, written, usual, path)


def test_records_are_those_of_the_public_functions_and_are_made_once(root, monkeypatch, tmp_path):
    captioner = captioner_that_says(monkeypatch, "a cat and a dog")
    found = judged(root, captioner, None, tmp_path / "a.jsonl")
    coco = COCO(root / "coco" / "instances.json")
    for record, entry in zip(found, coco.loadImgs([1, 2]), strict=True):
        (own,) = record["words"]
        image = mmcam.load_image(root / "coco" / "images" / entry["file_name"])
        places = places_of(captioner)
        product = {"method": "layercam", "layer": [places["last"], places["finer"]], "fuse": "product"}
        asked = {"gradcam": {"method": "gradcam"}, "attention": {"method": "attention"}, "layercam × finer": product}
        for name, how in asked.items():
            x, y = mmcam.explain_caption(captioner, image, caption="a cat and a dog", **how)[4].peak()
            assert own["hits"][name] == bool(coco.annToMask(coco.anns[entry["id"]])[y, x])
        assert own["hits"][photo_words.PRIOR], "both dogs are in the same place"
        assert own["chance"] == pytest.approx(1 / 4, abs=0.01)
    monkeypatch.setattr(photo_words, "seen", lambda *a, **k: pytest.fail("explained again"))
    assert judged(root, captioner, None, tmp_path / "a.jsonl") == found


def test_captions_that_people_wrote_are_read(root, tmp_path):
    (root / "coco" / "captions.json").write_text(
        json.dumps(
            {"annotations": [{"image_id": 1, "caption": "A dog, a cat."}, {"image_id": 1, "caption": "two dogs"},
                             {"image_id": 2, "caption": "a cat and a car"}]}
        )
    )  # fmt: skip
    written = coco_categories.references(root / "coco" / "captions.json")
    assert written == {1: ["A dog, a cat.", "two dogs"], 2: ["a cat and a car"]}
    captioner = models.load("vignette-show-attend-tell")
    first, second = judged(root, captioner, written, tmp_path / "a.jsonl")
    assert [(word["caption"], word["position"]) for word in first["words"]] == [("a dog a cat", 1), ("two dogs", 1)]
    assert second["words"] == []


def test_unknown_words_are_replaced_where_the_captioner_has_a_word_for_them(monkeypatch):
    captioner = models.load("vignette-show-attend-tell")
    with pytest.raises(typer.BadParameter, match="it has no word for unknown ones"):
        word_maps.readable(captioner, "a zeppelin")
    monkeypatch.setattr(captioner, "vocabulary", (*captioner.vocabulary, "unk"))
    assert word_maps.readable(captioner, "A zeppelin, and a dog!") == "a unk and a dog"


def test_the_sheet_shows_free_photographs_that_show_what_is_said(root, monkeypatch):
    coco = COCO(root / "coco" / "instances.json")
    captioner = captioner_that_says(monkeypatch, "a dog and a cat")
    sheet, credits = photo_words.draw(captioner, coco, root / "coco" / "images", 5)
    assert list(credits) == [2]
    assert "http://flickr/2" in credits[2]
    assert np.asarray(sheet).std() > 0


def test_the_page_that_asks_why(root, tmp_path, monkeypatch):
    captions = [{"image_id": i, "caption": "two dogs and a dog"} for i in (1, 2)]
    (root / "coco" / "captions.json").write_text(json.dumps({"annotations": captions}))
    why_gradcam_words.main(root, "vignette-show-attend-tell", None, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "why-gradcam-words.json").read_text())
    figures = {kind: {row["name"]: row for row in report["rows"] if row["of"] == kind} for kind in ("hits", "ceilings")}
    hits = figures["hits"]
    assert hits[photo_words.PRIOR]["value"] == 1, "both dogs are in the same place"
    assert {figure["n"] for figure in hits.values()} == {2}, "a category counts once a photograph"
    assert figures["ceilings"]["28"]["value"] == 1
    text = (tmp_path / "out" / "why-gradcam-words.md").read_text()
    assert "| hirescam | " in text
    monkeypatch.setattr(why_gradcam_words, "judged", lambda *a: pytest.fail("judged again"))
    why_gradcam_words.main(root, "vignette-show-attend-tell", None, tmp_path / "out", tmp_path / "work")
    assert json.loads((tmp_path / "out" / "why-gradcam-words.json").read_text()) == report
