"""One's own pictures and masks: a table is read literally, masks overlap as they please, mistakes are named."""

import csv
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mmcam.datasets.concepts import Concept
from mmcam.datasets.concepts.folder import FolderConcepts, reduced, stacked
from mmcam.errors import PictureError

SHAPE = (6, 9)
ROWS = [
    ("pictures/dog.png", "masks/ear.png", "ear", "part"),
    ("pictures/cat.png", "masks/cat.png", "cat", "object"),
    ("pictures/dog.png", "masks/other ear.png", "ear", "part"),
    ("pictures/dog.png", "", "meadow", "scene"),
    ("pictures/dog.png", "masks/dog.png", "dog", "object"),
    ("pictures/dog.png", "masks/nothing.png", "ear", "object"),
]
NUMBERS = {("ear", "part"): 1, ("cat", "object"): 2, ("meadow", "scene"): 3, ("dog", "object"): 4, ("ear", "object"): 5}


def masks():
    found = {name: np.zeros(SHAPE, bool) for name in ("ear", "cat", "other ear", "dog", "nothing")}
    found["ear"][0:2, 1:3] = found["other ear"][1:3, 2:6] = found["dog"][1:6, 0:7] = found["cat"][3, 3] = True
    return found


def write_table(folder, rows=ROWS, columns=("picture", "mask", "name", "category")):
    with (folder / "concepts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder / "concepts.csv"


@pytest.fixture
def table(tmp_path):
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(("dog", "cat")):
        Image.new("RGB", SHAPE[::-1], (0, 0, 90 * i)).save(tmp_path / f"pictures/{name}.png")
    for name, mask in masks().items():
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"masks/{name}.png")
    return write_table(tmp_path)


def shown(labels, number):
    """Where a concept is; it may be said in one layer only."""
    layers = [np.broadcast_to(np.asarray(layer) == number, SHAPE) for layer in labels if np.any(layer == number)]
    assert len(layers) <= 1
    return layers[0] if layers else np.zeros(SHAPE, bool)


def test_lines_say_what_a_picture_shows(table):
    data = FolderConcepts(table)
    assert data.name == f"{table.parent.name}/concepts.csv (labels of 112 px)"
    assert list(data.concepts) == [Concept(*names) for names in NUMBERS]
    assert len(data) == 2
    drawn = masks()
    for i, picture in enumerate(("pictures/dog.png", "pictures/cat.png")):
        labels = data.labels(i)
        for names, number in NUMBERS.items():
            want = np.zeros(SHAPE, bool)
            for path, mask, *row in ROWS:
                if path == picture and tuple(row) == names:
                    want |= drawn[mask[6:-4]] if mask else True
            np.testing.assert_array_equal(shown(labels, number), want, err_msg=str(names))
        with Image.open(table.parent / picture) as image:
            assert np.array_equal(data.picture(i), image)
    assert data.labels(0)[0] == 3
    assert len(data.labels(0)) == 3  # the ears lie over the dog
    assert len(data.labels(1)) == 1


def test_a_concept_of_the_whole_picture_needs_no_mask_besides(table):
    rows = [("pictures/dog.png", "masks/dog.png", "dog", "object"), *[("pictures/dog.png", "", "dog", "object")] * 2]
    assert FolderConcepts(write_table(table.parent, rows)).labels(0) == [1]


@pytest.mark.parametrize("kind", ["1", "L", "1 of 255", "P", "I;16", "RGB", "RGBA", "LA", "transparent"])
def test_whatever_kind_of_png_a_mask_is_not_zero_is_the_concept(table, kind):
    mask = masks()["dog"]
    values = mask.astype(np.uint8)
    pictures = {
        "1": lambda: Image.fromarray(mask),
        "L": lambda: Image.fromarray(values * 200),
        "1 of 255": lambda: Image.fromarray(values),
        "I;16": lambda: Image.fromarray(values.astype(np.uint16) * 256),
        "RGB": lambda: Image.fromarray(np.stack([0 * values, 0 * values, values * 9], axis=2)),
        "RGBA": lambda: Image.fromarray(np.stack([values * 7, 0 * values, 0 * values, 0 * values + 255], axis=2)),
        "LA": lambda: Image.fromarray(np.stack([values * 7, 0 * values + 255], axis=2)),
        "transparent": lambda: Image.fromarray(np.stack([0 * values + 255] * 3 + [values * 255], axis=2)),
        "P": lambda: Image.fromarray(values, "P"),
    }
    picture = pictures[kind]()
    if kind == "P":
        picture.putpalette([255, 255, 255, 0, 0, 0])  # white where the index is 0
    picture.save(table.parent / "masks/dog.png")
    np.testing.assert_array_equal(shown(FolderConcepts(table).labels(0), 4), mask)


def test_tables_as_spreadsheets_write_them(table):
    text = '\ufeffcategory, name ,mask,note,picture\r\nobject, "dog, wet", masks/dog.png ,,pictures/dog.png\r\n\r\n'
    table.write_bytes(text.encode())
    data = FolderConcepts(table)
    assert list(data.concepts) == [Concept("dog, wet", "object")]
    np.testing.assert_array_equal(data.labels(0)[0], masks()["dog"])


def test_a_turned_photograph_has_masks_as_it_is_seen(table):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", SHAPE).save(table.parent / "pictures/dog.png", exif=turned)  # on its side, as phones store it
    data = FolderConcepts(table)
    assert data.picture(0).size == SHAPE[::-1]
    np.testing.assert_array_equal(shown(data.labels(0), 4), masks()["dog"])


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, ("image", "mask", "name", "category"), r"concepts.csv has no column picture; its first line must name"),
        (ROWS, ("picture;mask;name;category",), "has no column picture, mask, name, category"),
        ([*ROWS, ("a.png", "b.png", "ear")], None, "Line 8 of .* does not have 4 cells"),
        ([*ROWS, ("a.png", "b.png", "ear", "part", "x")], None, "Line 8 of .* does not have 4 cells"),
        ([*ROWS, ("", "b.png", "ear", "part")], None, "Line 8 of .* has no picture; only the mask may be left empty"),
        ([("a.png", "b.png", " ", "part")], None, "Line 2 of .* has no name"),
        ([("a.png", "b.png", "ear", "")], None, "Line 2 of .* has no category"),
        ([], None, "names no picture; give it a line for every mask"),
    ],
)
def test_a_mistake_in_the_table_is_named_with_its_line(tmp_path, rows, columns, message):
    with pytest.raises(ValueError, match=message):
        FolderConcepts(write_table(tmp_path, rows, columns or ("picture", "mask", "name", "category")))


def test_a_table_that_is_none_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"concepts.csv is missing"):
        FolderConcepts(tmp_path / "concepts.csv")
    (tmp_path / "concepts.csv").write_text("")
    with pytest.raises(ValueError, match="has no column picture, mask, name, category"):
        FolderConcepts(tmp_path / "concepts.csv")
    (tmp_path / "concepts.csv").write_text("picture,mask,name,category\n" + "x" * 200_000 + ",,a,b\n")
    with pytest.raises(ValueError, match="cannot be read as a CSV after line 1"):
        FolderConcepts(tmp_path / "concepts.csv")
    with pytest.raises(ValueError, match="side is 0"):
        FolderConcepts(write_table(tmp_path), side=0)


def test_a_file_that_cannot_be_used_is_named_with_its_line(table):
    data, mask, picture = FolderConcepts(table), table.parent / "masks/dog.png", table.parent / "pictures/dog.png"
    Image.new("L", (9, 7)).save(mask)
    with pytest.raises(
        PictureError, match=r"Line 6 of concepts.csv: The mask masks/dog.png is 9×7, but .* is 9×6 when"
    ):
        data.labels(0)
    Image.new("L", (9, 6)).save(mask, format="JPEG")
    with pytest.raises(
        PictureError, match=r"Line 6 of concepts.csv: .*dog.png is a JPEG, in which labels are not exac"
    ):
        data.labels(0)
    mask.write_bytes(b"not a picture")
    with pytest.raises(PictureError, match=r"Line 6 of concepts.csv: .* cannot be read as a label map"):
        data.labels(0)
    mask.unlink()
    with pytest.raises(PictureError, match=r"Line 6 of concepts.csv: There is no mask or label map at"):
        data.labels(0)
    picture.unlink()
    for read in (data.picture, data.labels):
        with pytest.raises(PictureError, match=r"Line 2 of concepts.csv: .*dog.png"):
            read(0)
    assert len(data.labels(1)) == 1


def test_large_masks_are_reduced(table):
    data = FolderConcepts(table, side=3)
    assert {np.shape(layer) for layer in data.labels(0)[1:]} == {(2, 3)}
    np.testing.assert_array_equal(shown_small(data.labels(0), 4), masks()["dog"][1::3, 1::3])


def shown_small(labels, number):
    return np.any([layer == number for layer in labels[1:]], axis=0)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.integers(1, 40))
def test_a_reduced_map_takes_the_values_at_the_pixels_centres(values, side):
    small = reduced(values, side)
    longer = max(values.shape)
    if longer <= side:
        assert small is values
        return
    assert small.shape == tuple(max(1, round(length * side / longer)) for length in values.shape)
    for (y, x), value in np.ndenumerate(small):
        row, column = (
            math.floor((i + Fraction(1, 2)) * full / n)
            for i, full, n in zip((y, x), values.shape, small.shape, strict=True)
        )
        assert value == values[row, column]


@given(arrays.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))))
def test_stacked_masks_come_back_whole_and_none_is_needed_without_overlap(given_masks):
    named = {3 * i + 1: mask for i, mask in enumerate(given_masks)}
    layers = stacked(named)
    for number, mask in named.items():
        holding = [layer for layer in layers if (layer == number).any()]
        assert len(holding) == mask.any()
        assert not holding or np.array_equal(holding[0] == number, mask)
    deepest = int(given_masks.sum(axis=0).max())
    assert deepest <= len(layers) <= given_masks.any(axis=(1, 2)).sum()
    if deepest <= 1:
        assert len(layers) == deepest
    assert all(layer.any() for layer in layers)
