"""ILSVRC's CLS-LOC files: labels are those of the sorted ids, whichever file they come from."""

import pytest

from mmcam.datasets.imagenet import (
    Photo,
    Synset,
    blacklisted,
    boxes_of_csv,
    boxes_of_xml,
    ground_truth,
    synsets,
    validation,
)

SYNSETS = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn02119789 kit fox, Vulpes macrotis\n"
MAPPING = "n02119789 1 kit_fox\nn01440764 2 tench\nn01443537 3 goldfish\n"  # the challenge's ids: another order
BOXES = {
    1: ("n01443537", [(0, 3, 9, 11), (20, 4, 29, 12)]),
    2: ("n02119789", [(5, 5, 5, 6)]),
    3: ("n01440764", [(1, 2, 3, 4)]),
}
NAME = "ILSVRC2012_val_{:08d}"

XML = """<annotation>
\t<folder>val</folder>
\t<filename>{name}</filename>
\t<source>\n\t\t<database>ILSVRC_2012</database>\n\t</source>
\t<size>\n\t\t<width>500</width>\n\t\t<height>375</height>\n\t\t<depth>3</depth>\n\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\t<object>
\t\t<name>{wnid}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{}</xmin>
\t\t\t<ymin>{}</ymin>
\t\t\t<xmax>{}</xmax>
\t\t\t<ymax>{}</ymax>
\t\t</bndbox>
\t</object>
"""


def xml(name, wnid, boxes):
    return XML.format(name=name, objects="".join(OBJECT.format(*box, wnid=wnid) for box in boxes))


@pytest.fixture
def root(tmp_path):
    """The folders and files of the challenge, for three photographs."""
    annotations = tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    sets = tmp_path / "ILSVRC" / "ImageSets" / "CLS-LOC"
    annotations.mkdir(parents=True)
    sets.mkdir(parents=True)
    (tmp_path / "LOC_synset_mapping.txt").write_text(SYNSETS)
    (sets / "val.txt").write_text("".join(f"{NAME.format(i)} {i}\n" for i in BOXES))
    rows = ["ImageId,PredictionString"]
    for i, (wnid, boxes) in reversed(BOXES.items()):  # the csv is in no order
        (annotations / f"{NAME.format(i)}.xml").write_text(xml(NAME.format(i), wnid, boxes))
        rows.append(f"{NAME.format(i)}," + "".join(f"{wnid} {' '.join(map(str, box))} " for box in boxes))
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def expected(root, bad=()):
    pictures = root / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    labels = {1: 1, 2: 2, 3: 0}
    return [Photo(pictures / f"{NAME.format(i)}.JPEG", labels[i], tuple(BOXES[i][1]), i in bad) for i in BOXES]


def without_annotations(root):
    folder = root / "ILSVRC" / "Annotations"
    folder.rename(root / "elsewhere")


def test_annotations_and_the_table_say_the_same(root):
    from_xml = list(validation(root))
    assert from_xml == expected(root)
    without_annotations(root)
    assert list(validation(root)) == from_xml


def test_labels_count_from_the_sorted_ids_and_ilsvrcs_ids_are_translated(root):
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n")
    (root / "map_clsloc.txt").write_text(MAPPING)
    classes = synsets(root / "LOC_synset_mapping.txt")
    assert classes[2] == Synset("n02119789", "kit fox, Vulpes macrotis")
    labels = ground_truth(root / "ILSVRC2012_validation_ground_truth.txt", root / "map_clsloc.txt", classes)
    assert labels == [photo.label for photo in validation(root)] == [1, 2, 0]
    assert labels != [3 - 1, 1 - 1, 2 - 1], "read as labels, the ids would be wrong"


def test_the_blacklist_names_photographs_by_their_number(root):
    (root / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("2\n36\n")
    assert list(validation(root)) == expected(root, bad={2})
    other = root / "mine.txt"
    other.write_text("1\n3\n")
    assert blacklisted(other) == {1, 3}
    assert list(validation(root, other)) == expected(root, bad={1, 3})
    with pytest.raises(ValueError, match=r"none.txt is missing"):
        list(validation(root, root / "none.txt"))


def test_photographs_are_read_one_by_one(root):
    (root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val" / f"{NAME.format(3)}.xml").unlink()
    photos = validation(root)
    assert [next(photos), next(photos)] == expected(root)[:2]
    with pytest.raises(ValueError, match=r"00000003.xml is missing"):
        next(photos)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("LOC_synset_mapping.txt", "tench\n", "Line 1 of LOC_synset_mapping.txt is not"),
        ("LOC_synset_mapping.txt", "n01440764\n", "Line 1 of LOC_synset_mapping.txt is not"),
        ("LOC_synset_mapping.txt", "n02119789 fox\nn01440764 tench\n", "are not sorted"),
        ("LOC_synset_mapping.txt", "n01440764 tench\n", "n01443537, which LOC_synset_mapping.txt does not name"),
        ("ILSVRC/ImageSets/CLS-LOC/val.txt", "\n", "lists no photographs"),
        ("ILSVRC2014_clsloc_validation_blacklist.txt", "two\n", "is not a list of numbers"),
    ],
)
def test_files_of_another_form_are_refused(root, file, text, said):
    (root / file).write_text(text)
    with pytest.raises(ValueError, match=said):
        list(validation(root))


@pytest.mark.parametrize(
    "text",
    [
        "no xml",
        "<annotation><object><name>n01440764</name></object></annotation>",
        xml("a", "n01440764", [(5, 0, 4, 9)]),
    ],
)
def test_an_annotation_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=r"a.xml is not one of ImageNet's annotations"):
        boxes_of_xml(tmp_path / "a.xml")


def test_a_photograph_shows_one_class(root):
    file = root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val" / f"{NAME.format(1)}.xml"
    for objects, said in (("", r"0 classes \(none\)"), (OBJECT.format(1, 1, 2, 2, wnid="n01440764"), "2 classes")):
        other = OBJECT.format(1, 1, 2, 2, wnid="n01443537") if objects else ""
        file.write_text(XML.format(name="a", objects=objects + other))
        with pytest.raises(ValueError, match=said):
            list(validation(root))


@pytest.mark.parametrize("text", ["n01440764 1 2 3", "n01440764 1 2 3 x", "n01440764 9 2 3 4", "n01440764"])
def test_a_table_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "s.csv").write_text(f"ImageId,PredictionString\na,{text}\n")
    with pytest.raises(ValueError, match=r"Line 2 of s.csv is not a picture with its boxes"):
        boxes_of_csv(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text(f"Image,Boxes\na,{text}\n")
    with pytest.raises(ValueError, match=r"Line 2 of s.csv"):
        boxes_of_csv(tmp_path / "s.csv")


def test_a_table_of_other_photographs_is_refused(root):
    without_annotations(root)
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nother,n01440764 1 2 3 4\n")
    with pytest.raises(ValueError, match=r"LOC_val_solution.csv has no ILSVRC2012_val_00000001"):
        list(validation(root))


@pytest.mark.parametrize(
    ("ids", "mapping", "said"),
    [
        ("4\n", MAPPING, "has the id 4, which map.txt does not translate"),
        ("fox\n", MAPPING, "is not a list of numbers"),
        ("1\n", "kit_fox 1\n", "Line 1 of map.txt is not"),
        ("1\n", "n02119789 one kit_fox\n", "Line 1 of map.txt is not"),
        ("1\n", "n09999999 1 kit_fox\n", "names n09999999, which is none of the 3 classes"),
    ],
)
def test_ids_that_cannot_be_translated_are_refused(root, ids, mapping, said):
    (root / "ids.txt").write_text(ids)
    (root / "map.txt").write_text(mapping)
    with pytest.raises(ValueError, match=said):
        ground_truth(root / "ids.txt", root / "map.txt", synsets(root / "LOC_synset_mapping.txt"))
