"""PASCAL VOC's layout, small, written here; label maps compared with Pillow's own palette and resizing."""

import numpy as np
import pytest
from PIL import Image

from mmcam.datasets.concepts.voc import CLASSES, VocConcepts
from mmcam.errors import PictureError

NAMES = {"train": ["2007_000032"], "val": ["2007_000033", "2009_005311"]}


def palette():
    """VOC's: three bits of an index at a time go to red, green and blue, the highest first."""
    colours = []
    for index in range(256):
        r = g = b = 0
        for bit in range(8):
            r |= (index >> (3 * bit) & 1) << (7 - bit)
            g |= (index >> (3 * bit + 1) & 1) << (7 - bit)
            b |= (index >> (3 * bit + 2) & 1) << (7 - bit)
        colours += [r, g, b]
    return colours


def save_map(path, values):
    picture = Image.fromarray(values.astype(np.uint8), "P")
    picture.putpalette(palette())
    picture.save(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for split, names in (NAMES | {"trainval": NAMES["train"] + NAMES["val"]}).items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{name}\n" for name in names))
    rng = np.random.default_rng(1)
    for i, name in enumerate(NAMES["train"] + NAMES["val"]):
        Image.new("RGB", (50, 36), (0, 60 * i, 0)).save(root / f"JPEGImages/{name}.jpg")
        blocks = rng.choice([0, 1, 8 + i, 20, 255], (6, 10))
        save_map(root / f"SegmentationClass/{name}.png", blocks.repeat(6, axis=0).repeat(5, axis=1))
    return root


@pytest.mark.parametrize("split", ["train", "val", "trainval"])
def test_labels_are_the_indices_of_the_palette_without_the_void(root, split):
    data = VocConcepts(root, split)
    names = [name for part in ("train", "val") if part in split for name in NAMES[part]]
    assert len(data) == len(names)
    for i, name in enumerate(names):
        [labels] = data.labels(i)
        with Image.open(root / f"SegmentationClass/{name}.png") as picture:
            indices = np.array(picture)
            colours = np.asarray(picture.convert("RGB"))
        assert {0, 255} < set(np.unique(indices))
        np.testing.assert_array_equal(labels, np.where(indices == 255, 0, indices))
        # The official colours of an aeroplane and of a TV monitor.
        assert np.array_equal(labels == 1 + CLASSES.index("aeroplane"), (colours == (128, 0, 0)).all(axis=2))
        assert np.array_equal(labels == 1 + CLASSES.index("tvmonitor"), (colours == (0, 64, 128)).all(axis=2))
        with Image.open(root / f"JPEGImages/{name}.jpg") as picture:
            assert np.array_equal(data.picture(i), picture)


def test_concepts_are_the_twenty_classes(root):
    data = VocConcepts(root, "val")
    assert len(data.concepts) == 20
    assert [data.concepts[i].name for i in (0, 7, 14, 19)] == ["aeroplane", "cat", "person", "tvmonitor"]
    assert {concept.category for concept in data.concepts} == {"object"}
    assert data.name == "PASCAL VOC (VOC2012, val, labels of 112 px)"
    assert len(VocConcepts(root)) == 3


def test_label_maps_are_reduced_as_pillow_does(root):
    [labels] = VocConcepts(root, "train", side=20).labels(0)
    with Image.open(root / f"SegmentationClass/{NAMES['train'][0]}.png") as picture:
        small = np.array(picture.resize((20, 14), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(labels, np.where(small == 255, 0, small))


def test_what_is_broken_is_named(root):
    data, path = VocConcepts(root, "train"), root / f"SegmentationClass/{NAMES['train'][0]}.png"
    with Image.open(path) as picture:
        picture.convert("RGB").save(path)
    with pytest.raises(PictureError, match="holds colours, not VOC's palette indices"):
        data.labels(0)
    for index in (21, 254):
        save_map(path, np.full((36, 50), index))
        with pytest.raises(PictureError, match="has indices above 20 other than 255"):
            data.labels(0)
    path.unlink()
    with pytest.raises(PictureError, match="There is no mask or label map at"):
        data.labels(0)
    (root / f"JPEGImages/{NAMES['train'][0]}.jpg").unlink()
    with pytest.raises(PictureError, match="There is no picture at"):
        data.picture(0)
    with pytest.raises(ValueError, match="VOC has no split 'test'"):
        VocConcepts(root, "test")
    with pytest.raises(ValueError, match=r"trainval.txt is missing; data/README.md says"):
        VocConcepts(root.parent)
    with pytest.raises(ValueError, match="side is 0; label maps need at least one pixel"):
        VocConcepts(root, "val", side=0)
    (root / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(ValueError, match="lists no pictures"):
        VocConcepts(root, "val")
