"""Captioned photographs: the official layouts, small, written here; and the real ones where they are."""

import json
import os
from pathlib import Path

import pytest

from mmcam.datasets.captioned import Captioned, flickr8k, karpathy

REAL = os.environ.get("MMCAM_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MMCAM_REAL_DATA is not set: no captioned photographs here")


@pytest.fixture
def flickr(tmp_path):
    """Four pictures, of which one is listed but not there, as in the official release."""
    lines = [f"{name}.jpg#{i}\t{name} , said {i} ." for name in "abcd" for i in range(5)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for official, names in (("train", "ab"), ("dev", "c"), ("test", "d")):
        (tmp_path / f"Flickr_8k.{official}Images.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    (tmp_path / "Flicker8k_Dataset").mkdir()
    for name in "acd":
        (tmp_path / "Flicker8k_Dataset" / f"{name}.jpg").touch()
    return tmp_path


def test_flickr8k_has_its_official_splits(flickr):
    splits = flickr8k(flickr)
    folder = flickr / "Flicker8k_Dataset"
    assert list(splits) == ["train", "val", "test"]
    assert splits["train"] == [Captioned(folder / "a.jpg", tuple(f"a , said {i} ." for i in range(5)))]
    assert [item.path.name for item in splits["val"] + splits["test"]] == ["c.jpg", "d.jpg"]


def test_flickr8k_pictures_may_lie_in_images(flickr):
    (flickr / "Flicker8k_Dataset").rename(flickr / "images")
    assert flickr8k(flickr)["test"][0].path == flickr / "images" / "d.jpg"


@pytest.mark.parametrize(
    "caption", ["a # and a\ttab", "a next\u0085line", "a line\u2028separator", "ein Hündchen 🐶", "x\x0cy"]
)
def test_a_caption_keeps_its_characters(flickr, caption):
    file = flickr / "Flickr8k.token.txt"
    file.write_text(file.read_text().replace("d , said 2 .", caption), encoding="utf-8")
    assert flickr8k(flickr)["test"][0].captions[2] == caption


def test_flickr8k_says_what_is_wrong(flickr):
    tokens = flickr / "Flickr8k.token.txt"
    text = tokens.read_text()
    for bad in ("a.jpg#0 no tab", "a.jpg\tno number"):
        tokens.write_text(text + bad + "\n")
        with pytest.raises(ValueError, match=r"Line 21 of Flickr8k.token.txt is not"):
            flickr8k(flickr)
    tokens.write_bytes(b"a.jpg#0\t\xff\xfe\n")
    with pytest.raises(ValueError, match=r"Flickr8k.token.txt is not text in UTF-8"):
        flickr8k(flickr)
    tokens.write_text(text)
    (flickr / "Flickr_8k.devImages.txt").unlink()
    with pytest.raises(ValueError, match=r"Flickr_8k.devImages.txt is missing; data/README.md says"):
        flickr8k(flickr)


def test_flickr8k_without_its_pictures_is_not_silently_empty(flickr):
    folder = flickr / "Flicker8k_Dataset"
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds none of the captioned pictures"):
        flickr8k(flickr)
    folder.rmdir()
    with pytest.raises(ValueError, match="holds no pictures; put them into images/"):
        flickr8k(flickr)


# COCO's own caption file, and Karpathy's file of the same pictures.
SAID = {42: ("train2014", "train", ["A dog.", "One brown dog. "]), 73: ("val2014", "restval", ["A cat on a mat"])}
SAID |= {74: ("val2014", "val", ["Two birds"]), 133: ("val2014", "test", ["A bed", "An unmade bed"])}


def name(number, folder):
    return f"COCO_{folder}_{number:012d}.jpg"


@pytest.fixture
def coco(tmp_path):
    entries = []
    for number, (folder, split, captions) in SAID.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name(number, folder)).touch()
        sentences = [
            {"raw": raw, "tokens": raw.lower().split(), "imgid": 0, "sentid": i} for i, raw in enumerate(captions)
        ]
        entry = {"filepath": folder, "filename": name(number, folder), "split": split, "cocoid": number}
        entries.append(entry | {"sentences": sentences, "sentids": [], "imgid": 0})
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": entries, "dataset": "coco"}))
    return tmp_path


def test_karpathy_splits_coco(coco):
    splits = karpathy(coco / "dataset_coco.json", coco)
    assert {split: [item.path.name for item in items] for split, items in splits.items()} == {
        "train": [name(42, "train2014"), name(73, "val2014")],  # restval counts as train
        "val": [name(74, "val2014")],
        "test": [name(133, "val2014")],
    }
    assert splits["train"][0] == Captioned(coco / "train2014" / name(42, "train2014"), ("A dog.", "One brown dog."))


def test_karpathy_and_pycocotools_read_the_same_captions(coco):
    api = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    rows = [(number, raw) for number, (_, _, captions) in SAID.items() for raw in captions]
    official = {
        "images": [{"id": number, "file_name": name(number, folder)} for number, (folder, *_) in SAID.items()],
        "annotations": [{"id": i, "image_id": number, "caption": raw} for i, (number, raw) in enumerate(rows)],
    }
    (coco / "captions.json").write_text(json.dumps(official))
    table = api.COCO(str(coco / "captions.json"))
    theirs = {
        row["file_name"]: [annotation["caption"].strip() for annotation in table.imgToAnns[number]]
        for number, row in table.imgs.items()
    }
    splits = karpathy(coco / "dataset_coco.json", coco)
    assert {item.path.name: list(item.captions) for items in splits.values() for item in items} == theirs


def test_karpathy_of_flickr_has_one_folder(tmp_path):
    entry = {"filename": "a.jpg", "split": "val", "sentences": [{"raw": " A dog . "}]}
    (tmp_path / "dataset_flickr30k.json").write_text(json.dumps({"images": [entry], "dataset": "flickr30k"}))
    (tmp_path / "a.jpg").touch()
    assert karpathy(tmp_path / "dataset_flickr30k.json", tmp_path) == {
        "train": [],
        "val": [Captioned(tmp_path / "a.jpg", ("A dog .",))],
        "test": [],
    }


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '"images"',
        '{"images": 3}',
        '{"images": ["a.jpg"]}',
        '{"images": [{"filename": "a.jpg", "split": "train"}]}',
        '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": 3}]}]}',
        '{"images": [{"filename": "a.jpg", "split": "elsewhere", "sentences": []}]}',
    ],
)
def test_karpathy_refuses_another_form(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"dataset.json is not one of Karpathy's split files"):
        karpathy(tmp_path / "dataset.json", tmp_path)


def test_karpathy_names_a_missing_picture_or_file(coco):
    (coco / "val2014" / name(74, "val2014")).unlink()
    with pytest.raises(ValueError, match=r"names .*COCO_val2014_000000000074.jpg, which is not there"):
        karpathy(coco / "dataset_coco.json", coco)
    with pytest.raises(ValueError, match=r"dataset_flickr8k.json is missing"):
        karpathy(coco / "dataset_flickr8k.json", coco)


@real
def test_real_flickr8k_has_its_published_sizes():
    splits = flickr8k(Path(REAL) / "flickr8k")
    assert {split: len(items) for split, items in splits.items()} == {"train": 6000, "val": 1000, "test": 1000}
    assert {len(item.captions) for items in splits.values() for item in items} == {5}
    assert len({item.path for items in splits.values() for item in items}) == 8000


@real
def test_real_coco_captions_survive_karpathys_form(tmp_path):
    api = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    table = api.COCO(str(Path(REAL) / "coco" / "captions.json"))
    said = {row["file_name"]: [a["caption"] for a in table.imgToAnns[number]] for number, row in table.imgs.items()}
    entries = [
        {"filename": file, "split": "test", "sentences": [{"raw": raw} for raw in captions]}
        for file, captions in said.items()
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": entries}))
    items = karpathy(tmp_path / "dataset_coco.json", Path(REAL) / "coco" / "images")["test"]
    assert {item.path.name: item.captions for item in items} == {
        file: tuple(caption.strip() for caption in captions) for file, captions in said.items()
    }
