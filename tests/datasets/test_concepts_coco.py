"""COCO's instances: masks as pycocotools draws them, in few label maps; on real photographs where they are."""

import contextlib
import importlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mmcam.datasets.concepts.coco import CocoConcepts, _unpacked
from mmcam.errors import PictureError

mask_api = pytest.importorskip("pycocotools.mask")
COCO = importlib.import_module("pycocotools.coco").COCO

REAL = os.environ.get("MMCAM_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MMCAM_REAL_DATA is not set: no photographs with masks here")

WIDTH, HEIGHT = 60, 40
IDS = {"person": 1, "dog": 18, "toothbrush": 90}
SQUARE = [[5.0, 5.0, 25.0, 5.0, 25.0, 25.0, 5.0, 25.0]]
TRIANGLES = [[20.2, 10.7, 50.5, 12.1, 33.3, 35.9], [1, 30, 12, 30, 6, 39]]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools.mask")  # of its own


def run_lengths(mask):
    """Uncompressed, down the columns, beginning with the zeros: as the crowds of the official files."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def crowd():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[0:8, 40:60] = mask[20:33, 52:57] = 1
    return mask


def annotation(number, picture, category, segmentation, crowd=0):
    return {
        "id": number,
        "image_id": picture,
        "category_id": IDS[category],
        "iscrowd": crowd,
        "area": 1.0,
        "bbox": [0, 0, 1, 1],
        "segmentation": segmentation,
    }


def table():
    packed = mask_api.encode(np.asfortranarray(crowd()))
    images = [
        {"license": 4, "id": number, "file_name": f"COCO_val2014_{number:012d}.jpg", "width": WIDTH, "height": HEIGHT}
        for number in (42, 7, 9)
    ]
    return {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": [
            annotation(1, 42, "person", SQUARE),
            annotation(2, 7, "dog", {"size": packed["size"], "counts": packed["counts"].decode()}),
            annotation(3, 42, "dog", TRIANGLES),
            annotation(4, 42, "toothbrush", run_lengths(crowd()), crowd=1),
            annotation(5, 42, "person", [[30.0, 1, 38, 1, 38, 6]]),
        ],
        "categories": [{"supercategory": "thing", "id": number, "name": name} for name, number in IDS.items()],
    }


def write(folder, content):
    (folder / "val2014").mkdir(exist_ok=True)
    for entry in content["images"]:
        Image.new("RGB", (WIDTH, HEIGHT), (entry["id"], 0, 0)).save(folder / "val2014" / entry["file_name"])
    (folder / "instances_val2014.json").write_text(json.dumps(content))
    return folder / "instances_val2014.json", folder / "val2014"


def official(file):
    """pycocotools' own reader."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


def official_mask(coco, picture, category):
    """All instances of a category, crowds included, at the picture's size."""
    masks = [coco.annToMask(each) for each in coco.loadAnns(coco.getAnnIds(imgIds=[picture], catIds=[category]))]
    entry = coco.imgs[picture]
    return np.any([np.zeros((entry["height"], entry["width"]), bool), *masks], axis=0)


def check(data, coco, side):
    """Every concept of every picture against pycocotools, reduced by Pillow."""
    categories = list(coco.cats)
    for i, (picture, entry) in enumerate(coco.imgs.items()):
        labels = data.labels(i)
        for number, category in enumerate(categories, start=1):
            want = Image.fromarray(official_mask(coco, picture, category))
            if max(want.size) > side:
                scale = side / max(want.size)
                size = tuple(max(1, round(length * scale)) for length in want.size)
                want = want.resize(size, Image.Resampling.NEAREST)
            layers = [layer == number for layer in labels if (layer == number).any()]
            assert len(layers) == np.any(want), (entry["file_name"], category)  # whole, and in one layer
            if layers:
                np.testing.assert_array_equal(layers[0], want)


@pytest.mark.parametrize("side", [112, 60, 30])
def test_masks_are_those_of_pycocotools(tmp_path, side):
    files = write(tmp_path, table())
    data = CocoConcepts(*files, side=side)
    check(data, official(files[0]), side)
    assert len(data) == 3
    assert data.name == f"COCO (instances_val2014.json, labels of {side} px)"
    assert [(concept.name, concept.category) for concept in data.concepts] == [(name, "object") for name in IDS]
    for i, number in enumerate((42, 7, 9)):
        with Image.open(files[1] / f"COCO_val2014_{number:012d}.jpg") as picture:
            assert np.array_equal(data.picture(i), picture)


def test_label_maps_are_as_many_as_overlaps_ask_for(tmp_path):
    data = CocoConcepts(*write(tmp_path, table()))
    # The dog lies over the person, the toothbrush over neither.
    assert [sorted(np.unique(layer)) for layer in data.labels(0)] == [[0, 1, 3], [0, 2]]
    assert [sorted(np.unique(layer)) for layer in data.labels(1)] == [[0, 2]]
    assert data.labels(2) == []


def test_polygons_of_two_points_enclose_nothing(tmp_path):
    content = table()
    content["annotations"] = [annotation(1, 42, "person", [[1, 1, 9, 9], *SQUARE]), annotation(2, 42, "dog", [])]
    [layer] = CocoConcepts(*write(tmp_path, content)).labels(0)
    assert np.array_equal(layer, mask_api.decode(mask_api.frPyObjects(SQUARE, HEIGHT, WIDTH))[:, :, 0])


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), elements=st.integers(0, 1)))
def test_run_lengths_packed_or_not_are_those_of_pycocotools(mask):
    packed = mask_api.encode(np.asfortranarray(mask))["counts"].decode()
    assert _unpacked(packed) == run_lengths(mask)["counts"]


@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=12))
def test_packed_run_lengths_of_any_size_are_unpacked(counts):
    # pycocotools writes up to seven bytes a count into memory for six; empty runs take one and leave it room.
    counts = [*counts, *[0] * (len(counts) + 5)]
    packed = mask_api.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))["counts"].decode()
    assert _unpacked(packed) == counts


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]},
        {"size": [HEIGHT, WIDTH], "counts": [5, 10]},
        {"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT, 10**12]},
        {"size": [HEIGHT, WIDTH], "counts": [2 * WIDTH * HEIGHT, -WIDTH * HEIGHT]},
        {"size": [HEIGHT, WIDTH], "counts": []},
        {"size": [HEIGHT, WIDTH], "counts": "Pd1Pd1Pd1Pd1"},
        {"size": [HEIGHT, WIDTH], "counts": "12 3"},
        {"counts": [WIDTH * HEIGHT]},
        [[1e9, 0, 0, 1e9, -1e9, -1e9]],
        [[float("nan")] * 6],
        [["a"] * 6],
        None,
    ],
)
def test_a_broken_segmentation_is_told_of_its_picture_only(tmp_path, segmentation):
    content = table()
    content["annotations"][1]["segmentation"] = segmentation
    data = CocoConcepts(*write(tmp_path, content))
    with pytest.raises(PictureError, match=r"A segmentation of COCO_val2014_000000000007.jpg is broken"):
        data.labels(1)
    assert len(data.labels(0)) == 2


def test_a_picture_of_another_size_or_none_is_refused(tmp_path):
    files = write(tmp_path, table())
    data, path = CocoConcepts(*files), files[1] / "COCO_val2014_000000000042.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=turned)
    with pytest.raises(PictureError, match="is 40×60 when upright, but its masks are 60×40; use the official picture"):
        data.picture(0)
    path.unlink()
    with pytest.raises(PictureError, match="There is no picture at"):
        data.picture(0)


def test_a_broken_file_is_named(tmp_path):
    file, pictures = write(tmp_path, table())
    with pytest.raises(ValueError, match="is no folder; point to the one with COCO's pictures"):
        CocoConcepts(file, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"captions.json is missing; data/README.md says"):
        CocoConcepts(tmp_path / "captions.json", pictures)
    with pytest.raises(ValueError, match="side is -1"):
        CocoConcepts(file, pictures, side=-1)
    for lost in ("images", "annotations", "categories"):
        file.write_text(json.dumps({key: value for key, value in table().items() if key != lost}))
        with pytest.raises(ValueError, match=f"is not one of COCO's instances files .KeyError.'{lost}'"):
            CocoConcepts(file, pictures)
    for key, message in (("image_id", "picture 3 and category 1,"), ("category_id", "picture 42 and category 3,")):
        content = table()
        content["annotations"][0][key] = 3
        file.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            CocoConcepts(file, pictures)
    file.write_text("[]")
    with pytest.raises(ValueError, match="is not one of COCO's instances files"):
        CocoConcepts(file, pictures)


def test_without_pycocotools_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    files = write(tmp_path, table())
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)
    with pytest.raises(ImportError, match=r"pip install 'mmcam\[coco\]'"):
        CocoConcepts(*files)


@real
def test_real_masks_are_those_of_pycocotools():
    root = Path(REAL) / "coco"
    coco = official(root / "instances.json")
    data = CocoConcepts(root / "instances.json", root / "images")
    assert len(data) == len(coco.imgs)
    # The pictures with a crowd and every twentieth of the others.
    crowds = {each["image_id"] for each in coco.anns.values() if each["iscrowd"]}
    chosen = [i for i, picture in enumerate(coco.imgs) if i % 20 == 0 or (picture in crowds and i % 3 == 0)]
    for i in chosen:
        picture = list(coco.imgs)[i]
        labels = data.labels(i)
        height, width = labels[0].shape
        assert max(height, width) == 112
        for number, category in enumerate(coco.cats, start=1):
            full = official_mask(coco, picture, category)
            want = np.zeros((height, width), bool)
            for y, x in np.ndindex(want.shape) if full.any() else ():
                want[y, x] = full[
                    (2 * y + 1) * full.shape[0] // (2 * height), (2 * x + 1) * full.shape[1] // (2 * width)
                ]
            got = np.any([layer == number for layer in labels], axis=0)
            np.testing.assert_array_equal(got, want, err_msg=f"{picture}, {category}")
        assert data.picture(i).size == full.shape[::-1]
