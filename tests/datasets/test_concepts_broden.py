"""Broden's layout, small, written here as the official files are, and read again by a literal loop over the tables."""

import csv

import numpy as np
import pytest
from PIL import Image

from mmcam.datasets.concepts import Concept
from mmcam.datasets.concepts.broden import BrodenConcepts
from mmcam.errors import PictureError

LABELS = """number,name,category,frequency,coverage,syns
1,red-c,color(3),3,2.500000,
2,wheel,object(4);part(1),5,1.700000,"tyre;wheel, of a car"
300,grass,object(2);material(1),3,2.000000,lawn
515,street-s,scene(1),1,1.000000,
7,dotted,texture(2),2,2.000000,polka dots
"""
CATEGORIES = """name,first,last,count,frequency
color,1,1,1,3
object,2,300,2,6
part,2,2,1,1
material,300,300,1,1
texture,7,7,1,2
scene,515,515,1,1
"""
DENSE = {
    "color": "1,1,red-c,3,2.5\n",
    # The wheel is an object in more pictures, but covers more of them as a part; grass covers as much as both.
    "object": "1,2,wheel,4,0.3\n2,300,grass,2,1.0\n",
    "part": "1,2,wheel,1,1.4\n",
    "material": "1,300,grass,1,1.0\n",
    "texture": "1,7,dotted,2,2.0\n",
    "scene": "1,515,street-s,1,1.0\n",
}
INDEX = """image,split,ih,iw,sh,sw,color,object,material,part,scene,texture
ade20k/a.jpg,train,8,12,4,6,ade20k/a_color.png,ade20k/a_object.png,,ade20k/a_part_1.png;ade20k/a_part_2.png,515,
dtd/b.jpg,val,8,12,4,6,dtd/b_color.png,,,,,7;0
dtd/c.jpg,train,8,12,4,6,,,,,,7;515;7
"""
CONCEPTS = [("red-c", "color"), ("wheel", "part"), ("dotted", "texture"), ("grass", "material"), ("street-s", "scene")]
MAPS = {
    "ade20k/a_color.png": (0, 1),
    "ade20k/a_object.png": (0, 2, 300),
    "ade20k/a_part_1.png": (0, 2),
    "ade20k/a_part_2.png": (0, 2, 515),
    "dtd/b_color.png": (1,),
}


def maps():
    rng = np.random.default_rng(0)
    return {name: rng.choice(numbers, (4, 6)) for name, numbers in MAPS.items()}


def save_map(path, values):
    """As joinseg.py writes it: the low byte red, the high byte green, no blue."""
    rgb = np.stack([values % 256, values // 256, np.zeros_like(values)], axis=2)
    Image.fromarray(rgb.astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "broden1_12"
    for folder in ("ade20k", "dtd"):
        (root / "images" / folder).mkdir(parents=True)
    for name, text in {"label": LABELS, "category": CATEGORIES, "index": INDEX}.items():
        (root / f"{name}.csv").write_text(text)
    for category, rows in DENSE.items():
        (root / f"c_{category}.csv").write_text("code,number,name,frequency,coverage\n" + rows)
    for i, name in enumerate(("ade20k/a.jpg", "dtd/b.jpg", "dtd/c.jpg")):
        Image.new("RGB", (12, 8), (60 * i, 0, 0)).save(root / "images" / name)
    for name, values in maps().items():
        save_map(root / "images" / name, values)
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_concepts_are_the_labels_each_in_the_category_it_covers_most_of(root):
    data = BrodenConcepts(root)
    assert list(data.concepts) == [Concept(*each) for each in CONCEPTS]
    assert data.name == "Broden (broden1_12)"
    assert BrodenConcepts(root, "val").name == "Broden (broden1_12, val)"


def said(labels, concepts, shape=(4, 6)):
    """How often each place shows each concept, by name."""
    counts = {concept.name: np.zeros(shape, int) for concept in concepts}
    for layer in labels:
        for number, concept in enumerate(concepts, start=1):
            counts[concept.name] += np.broadcast_to(np.asarray(layer) == number, shape)
    return counts


@pytest.mark.parametrize("split", [None, "train", "val"])
def test_every_pixel_shows_what_the_tables_say(root, split):
    data, stored = BrodenConcepts(root, split), maps()
    names = {int(row["number"]): row["name"] for row in csv.DictReader(LABELS.splitlines())}
    rows = [row for row in csv.DictReader(INDEX.splitlines()) if split in (None, row["split"])]
    assert len(data) == len(rows) == {None: 3, "train": 2, "val": 1}[split]
    for i, row in enumerate(rows):
        want = {concept.name: np.zeros((4, 6), int) for concept in data.concepts}
        for category in DENSE:
            for cell in row[category].split(";"):
                for y in range(4):
                    for x in range(6):
                        number = int(cell) if cell.isdigit() else int(stored[cell][y, x]) if cell else 0
                        if number:
                            want[names[number]][y, x] = 1
        got = said(data.labels(i), data.concepts)
        assert want.keys() == got.keys()
        for name in want:
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)
        with Image.open(root / "images" / row["image"]) as picture:
            assert np.array_equal(data.picture(i), picture)


def test_what_the_whole_picture_shows_is_a_number(root):
    data = BrodenConcepts(root)
    assert data.labels(2) == [3, 5]
    assert [np.ndim(layer) for layer in data.labels(0)] == [0, 2, 2, 2, 2]
    assert data.labels(1)[0] == 3
    assert len(data.labels(1)) == 2


def test_columns_may_stand_in_any_order(root):
    before = [[np.asarray(layer).tolist() for layer in BrodenConcepts(root).labels(i)] for i in range(3)]
    rows = list(csv.reader(INDEX.splitlines()))
    order = [9, 3, 0, 8, 11, 1, 10, 2, 5, 4, 7, 6]
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[row[i] for i in order] for row in rows])
    after = [[np.asarray(layer).tolist() for layer in BrodenConcepts(root).labels(i)] for i in range(3)]
    assert after == before


def test_a_background_in_the_tables_is_no_concept(root):
    (root / "label.csv").write_text(LABELS + "0,-,,0,0.0,\n")
    assert len(BrodenConcepts(root).concepts) == 5


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", "image,split", "picture,split", r"index.csv has no column image; its first line must name image"),
        ("index.csv", ",material,", ",stuff,", "has no column material"),
        ("index.csv", "7;515;7", "7;516", "Line 4 of .*index.csv has 516, a number that label.csv does not list"),
        ("index.csv", "7;515;7", "70000", "Line 4 of .*index.csv has 70000"),
        ("index.csv", "train,8,12,4,6,,", "train,8,12,4,six,,", "Line 4 of .*: the sw is 'six'"),
        ("index.csv", "a_part_2.png,515,", "a_part_2.png,515", "Line 2 of .*index.csv does not have 12 cells"),
        ("label.csv", "300,", "many,", "Line 4 of .*label.csv: the number is 'many'"),
        ("label.csv", "300,", "301,", "has label 301; get the official files again"),
        ("label.csv", "300,", "70000,", "numbers of 65536 and more"),
        ("c_part.csv", "1.4", "much", "Line 2 of .*c_part.csv: 'much' is no coverage"),
        ("category.csv", "part,", "limb,", "c_limb.csv is missing; data/README.md says"),
    ],
)
def test_a_broken_table_is_named(root, file, old, new, message):
    edit(root / file, old, new)
    with pytest.raises(ValueError, match=message):
        BrodenConcepts(root)


def test_a_wrong_split_or_folder_is_named(root):
    with pytest.raises(ValueError, match="no split 'test'; choose 'train', 'val' or None"):
        BrodenConcepts(root, "test")
    edit(root / "index.csv", ",val,", ",train,")
    with pytest.raises(ValueError, match="lists no pictures of split 'val'"):
        BrodenConcepts(root, "val")
    with pytest.raises(ValueError, match="has no folder images; point to Broden's own folder"):
        BrodenConcepts(root / "images")


def test_a_broken_label_map_is_told_of_its_picture_only(root):
    data, path = BrodenConcepts(root), root / "images" / "dtd" / "b_color.png"
    Image.new("L", (6, 4), 1).save(path)
    with pytest.raises(PictureError, match=r"b_color.png is not stored as RGB"):
        data.labels(1)
    save_map(path, np.ones((6, 4), int))
    with pytest.raises(PictureError, match=r"is 4×6, but index.csv says 6×4"):
        data.labels(1)
    save_map(path, np.full((4, 6), 3))  # a gap
    with pytest.raises(PictureError, match=r"holds numbers that label.csv does not list"):
        data.labels(1)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(PictureError, match=r"b_color.png cannot be read as a label map"):
        data.labels(1)
    path.unlink()
    with pytest.raises(PictureError, match="There is no mask or label map at"):
        data.labels(1)
    (root / "images" / "dtd" / "b.jpg").unlink()
    with pytest.raises(PictureError, match="There is no picture at"):
        data.picture(1)
    assert data.labels(2) == [3, 5]
