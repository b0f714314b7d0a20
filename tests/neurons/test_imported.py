"""Names that other tools found: their files' own formats, small, written here; and the real ones where they are."""

import csv
import os
from pathlib import Path

import pytest

from mmcam.neurons.imported import read_clip_dissect, read_milan, read_netdissect
from mmcam.neurons.names import UnitName

REAL = os.environ.get("MMCAM_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MMCAM_REAL_DATA is not set: no published dissections here")
PUBLISHED = {
    "NetDissect_caffe_reference_imagenet.csv": 256,
    "NetDissect_ResNet-152-model_imagenet.csv": 2048,
    "resnet50_imagenet_layer4.csv": 2048,
}

CATEGORIES = ("object", "color", "part")
HEADER = ["unit", "category", "label", "score"] + [
    f"{category}-{column}" for category in CATEGORIES for column in ("label", "truth", "activation", "intersect", "iou")
]


def write(folder, text):
    (folder / "names.csv").write_text(text, encoding="utf-8")
    return folder / "names.csv"


def tally(folder, *rows):
    """NetDissect's file: rows (unit, category, label, score), then what a category's best label is, thrice."""
    lines = [HEADER] + [[*row, *["ball", 7, 8.0, 3, 0.25] * len(CATEGORIES)] for row in rows]
    return write(folder, "".join(",".join(map(str, line)) + "\n" for line in lines))


def layered(folder, *rows, columns="layer,unit,description,similarity"):
    return write(folder, "\n".join([columns, *rows]) + "\n")


def test_netdissect_counts_from_one(tmp_path):
    file = tally(tmp_path, (3, "part", "wheel", 0.25), (1, "object", "pool table", 0.125), (4, "object", "sky", 0.0625))
    names = read_netdissect(file)
    assert names.units == {
        2: UnitName("wheel", "part", 0.25),
        0: UnitName("pool table", "object", 0.125),
        3: UnitName("sky", "object", 0.0625),
    }
    assert list(names.units) == [0, 2, 3], "in the order of the units, whatever the file's"
    assert (names.count, names.measure, names.layer, names.fingerprint) == (4, "IoU", "", "")
    assert names.source == "NetDissect (names.csv)"
    assert read_netdissect(str(file)) == names


def test_a_whole_tally_says_how_many_units_the_layer_has(tmp_path):
    """NetDissect writes a row a unit; where one is missing in between, somebody shortened the file."""
    assert read_netdissect(tally(tmp_path, (2, "object", "car", 0.2), (1, "object", "sky", 0.1))).complete
    assert read_netdissect(tally(tmp_path, (1, "object", "sky", 0.1), (2, "", "", "nan"))).above(0.5).complete
    assert not read_netdissect(tally(tmp_path, (1, "object", "sky", 0.1), (3, "object", "car", 0.2))).complete
    assert not read_milan(layered(tmp_path, "fc,0,ear", columns="layer,unit,description"), "fc").complete


@pytest.mark.parametrize(
    ("category", "label", "name"),
    [
        ("color", "black-c", "black"),
        ("scene", "labyrinth-indoor-s", "labyrinth-indoor"),
        ("scene", "shoe_shop-s", "shoe shop"),
        ("scene", "wine_cellar-barrel_storage-s", "wine cellar-barrel storage"),
        ("texture", "polka-dotted", "polka-dotted"),
        ("object", "pool table", "pool table"),
        ("object", "t-s", "t-s"),  # only a scene has the mark of one
        ("color", "blue", "blue"),
    ],
)
def test_a_label_of_broden_becomes_a_word(tmp_path, category, label, name):
    assert read_netdissect(tally(tmp_path, (1, category, label, 0.1))).units[0] == UnitName(name, category, 0.1)


def test_a_unit_without_a_label_counts_and_has_no_name(tmp_path):
    names = read_netdissect(tally(tmp_path, (1, "object", "sky", 0.1), (2, "", "", "nan")))
    assert (list(names.units), names.count) == ([0], 2)


def test_a_0_based_netdissect_file_is_noticed(tmp_path):
    file = tally(tmp_path, (1, "object", "sky", 0.1), (0, "object", "car", 0.2))
    with pytest.raises(ValueError, match=r"names.csv, line 3: unit 0, .* looks 0-based: add 1 .* or use read_clip_"):
        read_netdissect(file)


def test_clip_dissect_has_several_layers_in_a_file(tmp_path):
    file = layered(
        tmp_path,
        "conv1,0,red,0.25",
        "conv1,1,snorkeling,0.5",
        "layer4,2,ear,-0.125",
        "layer4,0, a big dog ,4.75",
        'layer4,5,"fur, brown",1e-3',
    )
    names = read_clip_dissect(file, "layer4")
    assert names.units == {
        0: UnitName("a big dog", "", 4.75),
        2: UnitName("ear", "", -0.125),
        5: UnitName("fur, brown", "", 0.001),
    }
    assert list(names.units) == [0, 2, 5]
    assert (names.count, names.measure, names.layer, names.fingerprint) == (6, "similarity", "layer4", "")
    assert names.source == "CLIP-Dissect (names.csv)"
    first = read_clip_dissect(file, "conv1")
    assert (list(first.units), first.count) == ([0, 1], 2), "another layer's units do not count"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Dog 's face", "Dog's face"),
        ('"Dog \'s face, food"', "Dog's face, food"),
        ("People 's hands on a horse 's back", "People's hands on a horse's back"),
        ("Dog's face", "Dog's face"),
        ("Women ’s hats", "Women’s hats"),
        ("The word 'stop' in red", "The word 'stop' in red"),
        ("Jack-o-lantern", "Jack-o-lantern"),
        ('"Purple, red and blue fluorescent objects"', "Purple, red and blue fluorescent objects"),
    ],
)
def test_milan_describes_without_scores(tmp_path, written, read):
    file = layered(tmp_path, "fc,7,Birds", f"layer3,3,{written}", columns="layer,unit,description")
    names = read_milan(file, "layer3")
    assert names.units == {3: UnitName(read, "", None)}
    assert (names.count, names.measure, names.layer) == (4, "", "layer3")
    assert names.source == "MILAN (names.csv)"
    assert names.above(0.9) == names, "names without a score stay"


@pytest.mark.parametrize("read", [read_clip_dissect, read_milan])
def test_an_unknown_layer_lists_those_there_are(tmp_path, read):
    columns, end = ("layer,unit,description", "") if read is read_milan else ("layer,unit,description,similarity", ",1")
    file = layered(tmp_path, f"conv1,0,red{end}", f"conv1,1,blue{end}", f"layer4,0,dog{end}", columns=columns)
    with pytest.raises(ValueError, match=r"names.csv has no layer 'layer5'; it has conv1, layer4\."):
        read(file, "layer5")


def test_columns_may_stand_in_any_order_behind_a_mark(tmp_path):
    file = write(tmp_path, "\ufeffunit,note,similarity,layer,description\n1,x,0.5,fc,ear\n\n0,y,0.25,fc,eye\n")
    assert read_clip_dissect(file, "fc").units == {0: UnitName("eye", "", 0.25), 1: UnitName("ear", "", 0.5)}


NETDISSECT = "unit,category,label,score\n"
CLIP_DISSECT = "layer,unit,description,similarity\n"
MILAN = "layer,unit,description\n"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_netdissect, "", r"is empty; run the tool again"),
        (read_netdissect, NETDISSECT, r"a header and no rows"),
        (read_netdissect, "unit,label,score\n1,sky,.1\n", r"lacks the columns category \(it has unit, label, score\)"),
        (read_netdissect, CLIP_DISSECT + "fc,0,ear,.1\n", r"another tool, layer, unit, .* with read_clip_dissect"),
        (read_netdissect, MILAN + "fc,0,ear\n", r"another tool, .* with read_milan"),
        (read_netdissect, NETDISSECT + "1,object,sky,.1\n1,object,car,.2\n", r"line 3: unit 1 has a name already"),
        (read_netdissect, NETDISSECT + "one,object,sky,.1\n", r"line 2: the unit is 'one'; write whole numbers"),
        (read_netdissect, NETDISSECT + "1.0,object,sky,.1\n", r"the unit is '1.0'"),
        (read_netdissect, NETDISSECT + "-1,object,sky,.1\n", r"the unit is '-1'"),
        (read_netdissect, NETDISSECT + "1,object,sky,high\n", r"line 2: the score is 'high'; write a finite number"),
        (read_netdissect, NETDISSECT + "1,object,sky,nan\n", r"the score is 'nan'"),
        (read_netdissect, NETDISSECT + "1,object,sky,.1\n2,obj", r"line 3: more or fewer values .* cut short"),
    ],
)
def test_netdissect_says_what_is_wrong(tmp_path, read, text, message):
    with pytest.raises(ValueError, match=rf"names\.csv.*{message}"):
        read(write(tmp_path, text))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_clip_dissect, NETDISSECT + "1,object,sky,.1\n", r"another tool, .* with read_netdissect"),
        (read_clip_dissect, MILAN + "fc,0,ear\n", r"another tool, .* with read_milan"),
        (read_clip_dissect, "unit,description\n0,ear\n", r"lacks the columns layer, similarity"),
        (read_clip_dissect, CLIP_DISSECT + "fc,0,ear,.1\nfc,0,eye,.2\n", r"line 3: unit 0 has a name already"),
        (read_clip_dissect, CLIP_DISSECT + "fc,0,fur, brown,.1\n", r"line 2: more or fewer values .* in quotes"),
        (read_clip_dissect, CLIP_DISSECT + 'fc,0,"fur,.1\nfc,1,ear,.1\n', r"is not CSV text in UTF-8"),
        (read_milan, CLIP_DISSECT + "fc,0,ear,.1\n", r"another tool, .* with read_clip_dissect"),
        (read_milan, MILAN + "fc,0,ear\nfc,x,eye\n", r"line 3: the unit is 'x'"),
    ],
)
def test_layered_files_say_what_is_wrong(tmp_path, read, text, message):
    with pytest.raises(ValueError, match=rf"names\.csv.*{message}"):
        read(write(tmp_path, text), "fc")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv is missing; pass the CSV"):
        read_netdissect(tmp_path / "none.csv")
    (tmp_path / "names.csv").write_bytes(b"\xff\xfe\x00picture")
    with pytest.raises(ValueError, match=r"names\.csv is not CSV text in UTF-8"):
        read_netdissect(tmp_path / "names.csv")


@real
@pytest.mark.parametrize("file", PUBLISHED)
def test_published_dissections(file):
    path = Path(REAL or "") / "netdissect" / file
    names = read_netdissect(path)
    assert names.count == len(names.units) == PUBLISHED[file]
    assert names.complete
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    for unit, category, label, score, *best in rows:
        name = names.units[int(unit) - 1]
        assert (name.category, name.score) == (category, float(score))
        at = next(i for i in range(0, len(best), 5) if best[i] == label)
        assert name.score == float(best[at + 4]), "the overall label is the best of a category"
        assert "_" not in name.name
        assert label.replace("_", " ") in (name.name, f"{name.name}-c", f"{name.name}-s")
        assert not name.name.endswith(("-c", "-s"))
