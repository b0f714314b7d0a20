"""PASCAL VOC's boxes: from 1 to 0, difficult and truncated things, lists of photographs."""

import pytest

from mmcam.datasets.voc import Photo, Thing, annotation, detection, listed

XML = """<annotation>
\t<folder>VOC2007</folder>
\t<filename>{name}.jpg</filename>
\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Left</pose>
\t\t<truncated>{truncated}</truncated>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
{parts}\t</object>
"""
PART = """\t\t<part>
\t\t\t<name>head</name>
\t\t\t<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>
\t\t</part>
"""


def thing(name, box, difficult=0, truncated=0, parts=""):
    return OBJECT.format(name=name, box=box, difficult=difficult, truncated=truncated, parts=parts)


@pytest.fixture
def root(tmp_path):
    """A year's folder with two photographs."""
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    first = thing("dog", (48, 240, 195, 371)) + thing("person", (8, 12, 353, 500), truncated=1, parts=PART)
    second = thing("car", (1, 1, 500, 333), 1) + thing("car", (10, 10, 20, 20), 1) + thing("cat", (3, 3, 3, 3))
    second += thing("cat", (5, 6, 7, 8), 1, 1)
    for name, size, objects in (("000001", (353, 500), first), ("000004", (500, 333), second)):
        (tmp_path / "Annotations" / f"{name}.xml").write_text(XML.format(name=name, size=size, objects=objects))
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("000001\n000004\n")
    (tmp_path / "ImageSets" / "Main" / "car_test.txt").write_text("000001 -1\n000004  0\n")
    (tmp_path / "ImageSets" / "Main" / "dog_test.txt").write_text("000001  1\n000004 -1\n")
    return tmp_path


def test_boxes_count_from_zero_and_include_their_last_pixel(root):
    first, second = detection(root, "test")
    assert first == Photo(
        root / "JPEGImages" / "000001.jpg",
        (353, 500),
        (Thing("dog", (47, 239, 194, 370)), Thing("person", (7, 11, 352, 499), truncated=True)),
    )
    assert second.boxes("car") == ((0, 0, 499, 332), (9, 9, 19, 19)), "the first one is the whole picture"
    assert second.boxes("cat") == ((2, 2, 2, 2), (4, 5, 6, 7)), "a box of one pixel, and one of nine"
    assert second.boxes("cat", difficult=False) == ((2, 2, 2, 2),)
    assert second.boxes("dog") == ()


def test_a_class_that_is_only_difficult_is_no_game(root):
    first, second = detection(root)
    assert first.names() == ("dog", "person"), "in VOC's order"
    assert second.names() == ("cat",), "one cat is not difficult, both cars are"
    assert [each.difficult for each in second.things] == [True, True, False, True]
    assert [each.truncated for each in second.things] == [False, False, False, True]


def test_lists_of_all_and_of_a_class(root):
    assert listed(root, "test") == ["000001", "000004"]
    assert listed(root, "dog_test") == ["000001"]
    with pytest.raises(ValueError, match="lists no photographs"):
        listed(root, "car_test")
    with pytest.raises(ValueError, match=r"val.txt is missing"):
        listed(root, "val")
    for text in ("000001 2\n", "000001 1 1\n"):
        (root / "ImageSets" / "Main" / "odd.txt").write_text(text)
        with pytest.raises(ValueError, match=r"Line 1 of odd.txt is not"):
            listed(root, "odd")


def test_photographs_are_read_one_by_one(root):
    (root / "Annotations" / "000004.xml").unlink()
    photos = detection(root)
    assert next(photos).names() == ("dog", "person")
    with pytest.raises(ValueError, match=r"000004.xml is missing"):
        next(photos)


def test_marks_that_old_files_leave_out_are_no(tmp_path):
    text = XML.format(name="a", size=(9, 9), objects=thing("dog", (1, 1, 9, 9)))
    for mark in ("truncated", "difficult"):
        text = text.replace(f"\t\t<{mark}>0</{mark}>\n", "")
    (tmp_path / "a.xml").write_text(text)
    assert annotation(tmp_path / "a.xml", tmp_path / "a.jpg").things == (Thing("dog", (0, 0, 8, 8)),)


def test_fractions_are_rounded_and_a_pixel_over_the_edge_is_cut(tmp_path):
    objects = thing("dog", ("2.4", "1.8", "4", "5")) + thing("dog", (0, 1, 11, 9))
    (tmp_path / "a.xml").write_text(XML.format(name="a", size=(10, 9), objects=objects))
    photo = annotation(tmp_path / "a.xml", tmp_path / "a.jpg")
    assert photo.boxes("dog") == ((1, 1, 3, 4), (0, 0, 9, 8))


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (thing("dragon", (1, 1, 2, 2)), "'dragon' is none of the twenty classes"),
        (thing("dog", (5, 1, 4, 2)), "holds no pixel"),
        (thing("dog", (1, 11, 4, 12)), "holds no pixel"),
        (thing("dog", (1, 1, "", 2)), "could not convert"),
        ("<object>", "mismatched tag"),
    ],
)
def test_annotations_of_another_form_are_refused(tmp_path, objects, said):
    (tmp_path / "a.xml").write_text(XML.format(name="a", size=(9, 9), objects=objects))
    with pytest.raises(ValueError, match=rf"a.xml is not one of VOC's annotations \(.*{said}"):
        annotation(tmp_path / "a.xml", tmp_path / "a.jpg")
