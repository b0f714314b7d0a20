"""Labelled pictures are read from folders, tables and ILSVRC's layout; what is amiss is a sentence."""

import csv

import numpy as np
import pytest
from PIL import Image

from mmcam.diagnosis.labelled import read_labelled, readable, region
from mmcam.diagnosis.meant import meant
from mmcam.errors import ExplainError, PictureError
from mmcam.tasks.classification import Classes
from mmcam.tasks.names import Wider


def picture(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_folder_for_each_class(tmp_path):
    for name in ("dog/2.png", "dog/1.JPG", "cat/deep/er/3.png", ".hidden/4.png"):
        picture(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("none")
    found = read_labelled(tmp_path)
    assert [(each.path.relative_to(tmp_path).as_posix(), each.labels) for each in found.pictures] == [
        ("cat/deep/er/3.png", ("cat",)), ("dog/1.JPG", ("dog",)), ("dog/2.png", ("dog",)),
    ]  # fmt: skip
    assert found.classes == ("cat", "dog")
    assert {label: len(own) for label, own in found.by_class.items()} == {"cat": 1, "dog": 2}
    assert found.skipped == ()


def test_pictures_beside_the_classes_are_told_of(tmp_path):
    picture(tmp_path / "dog" / "1.png")
    beside = picture(tmp_path / "stray.png")
    ((path, why),) = read_labelled(tmp_path).skipped
    assert path == beside
    assert "beside" in why


def test_a_table_has_groups_masks_and_several_classes(tmp_path):
    picture(tmp_path / "a.png")
    left, right = np.zeros((2, 4, 6), np.uint8)
    left[:, :2], right[:, 4:] = 255, 1
    Image.fromarray(left).save(tmp_path / "left.png")
    Image.fromarray(right).save(tmp_path / "right.png")
    rows = [
        {"group": "house 1", "picture": "a.png", "class": "crack", "mask": "left.png"},
        {"group": "house 1", "picture": "a.png", "class": "crack", "mask": "right.png"},
        {"group": "house 1", "picture": "a.png", "class": "damp", "mask": ""},
        {"group": "", "picture": "b.png", "class": "sound", "mask": ""},
    ]
    first, second = read_labelled(table(tmp_path / "t.csv", rows)).pictures
    assert (first.labels, first.group, second.labels, second.group) == (("crack", "damp"), "house 1", ("sound",), "")
    mask = region(first, "crack", (6, 4))
    assert mask.tolist() == ((left > 0) | (right > 0)).tolist()
    assert region(first, "damp", (6, 4)) is None
    with pytest.raises(PictureError, match=r"left\.png is 6×4, but a\.png is 4×6"):
        region(first, "crack", (4, 6))


def test_ilsvrcs_layout_with_boxes(tmp_path):
    sets = tmp_path / "ILSVRC" / "ImageSets" / "CLS-LOC"
    sets.mkdir(parents=True)
    (sets / "val.txt").write_text("ILSVRC2012_val_00000001 1\n")
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1 0 2 1 n01443537 5 3 5 3 \n"
    )
    (photo,) = read_labelled(tmp_path).pictures
    assert photo.path.name == "ILSVRC2012_val_00000001.JPEG"
    assert photo.labels == ("n01443537",)
    assert np.argwhere(region(photo, "n01443537", (6, 4))).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2], [3, 5]]


def test_unreadable_pictures_are_skipped_each_with_its_sentence(tmp_path):
    picture(tmp_path / "dog" / "1.png")
    (tmp_path / "dog" / "2.png").write_bytes(b"no picture")
    found = readable(read_labelled(tmp_path))
    assert [each.path.name for each in found.pictures] == ["1.png"]
    ((path, why),) = found.skipped
    assert path.name == "2.png"
    assert "cannot be read as a picture" in why


def test_nothing_that_can_be_opened(tmp_path):
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "2.png").write_bytes(b"no picture")
    with pytest.raises(ExplainError, match="None of the 1 pictures"):
        readable(read_labelled(tmp_path))


@pytest.mark.parametrize(
    ("files", "rows", "message"),
    [
        ([], None, "holds no folder for a class"),
        (["1.png", "2.png"], None, "holds 2 pictures but no folder for a class"),
        (["dog/1.png", "cat/notes.txt"], None, "no picture in .*cat"),
        ([], [{"file": "a.png", "class": "dog"}], "no column picture"),
        ([], [{"picture": "a.png", "class": ""}], "Line 2 of .* has no class"),
        ([], [{"picture": "", "class": "dog"}], "Line 2 of .* has no picture"),
        (
            [],
            [{"picture": "a", "class": "x", "group": "1"}, {"picture": "a", "class": "y", "group": "2"}],
            "in the groups '1' and '2', see line 3",
        ),
    ],
)
def test_what_is_amiss_is_a_sentence(tmp_path, files, rows, message):
    for name in files:
        if name.endswith(".txt"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_text("none")
        else:
            picture(tmp_path / name)
    source = tmp_path if rows is None else table(tmp_path / "t.csv", rows)
    with pytest.raises(ValueError, match=message):
        read_labelled(source)


def test_nothing_there(tmp_path):
    with pytest.raises(ExplainError, match="no labelled pictures"):
        read_labelled(tmp_path / "nowhere")
    (tmp_path / "t.csv").write_text("picture,class\n")
    with pytest.raises(ExplainError, match="names no picture"):
        read_labelled(tmp_path / "t.csv")


def test_labels_mean_classes():
    classes = Classes(("tabby, tabby cat", "tiger cat", "pug"), Wider({"moggy": (0,)}, {"cat": (0, 1)}))
    assert meant(["Tabby_cat", "2", "cat", "moggy"], classes, 3) == {
        "Tabby_cat": (0,), "2": (2,), "cat": (0, 1), "moggy": (0,),
    }  # fmt: skip


def test_labels_of_another_model_are_a_sentence():
    with pytest.raises(ExplainError, match=r"2 of the 3 labels \(crack, damp\) are none of the model's 2 classes"):
        meant(["crack", "damp", "dog"], Classes(("dog", "cat")), 2)
    with pytest.raises(ExplainError, match="classes 0…1, and no 2"):
        meant(["2"], Classes(None), 2)


def test_wordnet_ids_are_imagenets():
    assert meant(["n01440764", "n15075141"], Classes(None), 1000) == {"n01440764": (0,), "n15075141": (999,)}
