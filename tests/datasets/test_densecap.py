"""DenseCap's results: boxes come back to the original pixels."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcam.datasets.densecap import Region, densecap
from mmcam.evaluation.inside_outside import box_mask


def write(folder, entries, **opt):
    """What run_model.lua writes."""
    (folder / "results.json").write_text(json.dumps({"results": entries, "opt": {"num_proposals": 1000} | opt}))
    return folder / "results.json"


def entry(name, *regions):
    """Regions are (box, caption, score)."""
    boxes, captions, scores = zip(*regions, strict=True) if regions else ({}, {}, {})
    return {"img_name": name, "boxes": boxes, "captions": captions, "scores": scores}


def picture(folder, name, size, **save):
    Image.new("RGB", size).save(folder / name, **save)
    return folder / name


def test_boxes_come_back_to_the_original_pixels(tmp_path):
    path = picture(tmp_path, "a.jpg", (1440, 960))  # resized to 720×480: half of each
    # Pixels 11 … 20 and 21 … 60, counted from 1, are 10 up to 20 and 20 up to 60, counted from 0.
    results = write(tmp_path, [entry("a.jpg", ([11, 21, 10, 40], "a red ball", 3.5))], image_size=720)
    assert densecap(results, tmp_path) == [(path, [Region((20.0, 40.0, 40.0, 120.0), "a red ball", 3.5)])]


def test_the_longer_side_counts_and_small_pictures_were_enlarged(tmp_path):
    picture(tmp_path, "tall.png", (50, 100))  # 180×360 of 360
    results = write(tmp_path, [entry("tall.png", ([1, 37, 90, 36], "left", 1))], image_size=360)
    assert densecap(results, tmp_path)[0][1][0].box == pytest.approx((0, 10, 25, 20))


def test_the_longer_side_is_720_where_nothing_is_said(tmp_path):
    picture(tmp_path, "a.png", (1440, 720))
    results = write(tmp_path, [entry("a.png", ([1, 1, 360, 90], "corner", 1))])
    assert densecap(results, tmp_path)[0][1][0].box == (0, 0, 720, 180)
    results.write_text(results.read_text().replace('"opt"', '"options"'))
    assert densecap(results, tmp_path)[0][1][0].box == (0, 0, 720, 180)


@pytest.mark.parametrize("size", [(640, 480), (481, 640), (333, 500), (719, 33), (3, 2000), (1, 2000), (1, 1)])
def test_the_whole_resized_picture_is_the_whole_original(tmp_path, size):
    longer = max(size)
    resized = [max(1, int(side * 720 / longer + 1e-9)) for side in size]  # Torch drops the fraction
    picture(tmp_path, "a.png", size)
    results = write(tmp_path, [entry("a.png", ([1, 1, *resized], "all of it", 0))])
    box = densecap(results, tmp_path)[0][1][0].box
    assert box == pytest.approx((0, 0, *size))
    assert box_mask(box, size).all()


def test_a_box_over_the_edge_is_clipped(tmp_path):
    picture(tmp_path, "a.png", (720, 360))
    results = write(tmp_path, [entry("a.png", ([-9, 301, 800, 100], "floor", 1))], image_size=720)
    assert densecap(results, tmp_path)[0][1][0].box == (0, 300, 720, 360)


def test_the_surest_regions_are_kept_in_order(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path, name, (720, 720))
    scores = [-1.5, 4, 0, 2.5, 3, 1, -7]  # as logits may be negative
    many = entry("a.png", *[([i + 1, 1, 10, 10], f" region {i}", score) for i, score in enumerate(scores)])
    results = write(tmp_path, [many, entry("b.png", ([1, 1, 5, 5], "alone", -2)), entry("c.png")])
    found = densecap(results, tmp_path)
    assert [path.name for path, _ in found] == ["a.png", "b.png", "c.png"]
    assert [region.score for region in found[0][1]] == [4, 3, 2.5, 1, 0]
    assert [region.caption for region in found[0][1]] == [f"region {i}" for i in (1, 4, 3, 5, 2)]
    assert [region.box[0] for region in found[0][1]] == [1, 4, 3, 5, 2], "a box goes with its own sentence"
    assert [len(regions) for _, regions in found] == [5, 1, 0]
    assert [len(regions) for _, regions in densecap(results, tmp_path, top=2)] == [2, 1, 0]
    with pytest.raises(ValueError, match="ask for at least one region"):
        densecap(results, tmp_path, top=0)


def test_a_missing_or_unreadable_picture_is_named(tmp_path):
    results = write(tmp_path, [entry("a.png", ([1, 1, 5, 5], "ball", 1))])
    with pytest.raises(ValueError, match=r"a.png, which is not there; point to the folder"):
        densecap(results, tmp_path)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a.png cannot be read as a picture"):
        densecap(results, tmp_path)
    with pytest.raises(ValueError, match=r"other.json is missing"):
        densecap(tmp_path / "other.json", tmp_path)


def test_a_picture_stored_rotated_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path, "a.jpg", (40, 20), exif=exif)
    results = write(tmp_path, [entry("a.jpg", ([1, 1, 5, 5], "ball", 1))])
    with pytest.raises(ValueError, match=r"a.jpg is stored rotated"):
        densecap(results, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"results": 3},
        {"results": ["a.png"]},
        {"results": [{"img_name": "a.png"}]},
        {"results": [{"img_name": "a.png", "boxes": [[1, 1, 5]], "captions": ["x"], "scores": [1]}]},
        {"results": [{"img_name": "a.png", "boxes": [[1, 1, 5, 5]], "captions": ["x"], "scores": []}]},
        {"results": [{"img_name": "a.png", "boxes": [[1, 1, 5, 5]], "captions": [2], "scores": [1]}]},
        {"opt": {"image_size": "large"}},
        {"opt": []},
    ],
)
def test_another_form_is_refused(tmp_path, change):
    picture(tmp_path, "a.png", (20, 20))
    results = write(tmp_path, [entry("a.png", ([1, 1, 5, 5], "ball", 1))])
    results.write_text(json.dumps(json.loads(results.read_text()) | change))
    with pytest.raises(ValueError, match=r"results.json is not a results.json of DenseCap"):
        densecap(results, tmp_path)
    results.write_text("no json")
    with pytest.raises(ValueError, match=r"results.json is not a results.json of DenseCap"):
        densecap(results, tmp_path)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    return picture(tmp_path_factory.mktemp("densecap"), "a.png", (500, 375)).parent


@settings(max_examples=40, deadline=None)  # each writes a file
@given(st.tuples(*[st.floats(-900, 900)] * 2, *[st.floats(0, 900)] * 2))
def test_every_box_lies_in_the_picture(sized, box):
    results = write(sized, [entry("a.png", (box, "something", 0))])
    left, top, right, bottom = densecap(results, sized)[0][1][0].box
    assert 0 <= left <= right <= 500
    assert 0 <= top <= bottom <= 375
