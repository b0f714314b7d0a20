"""PASCAL VOC: an annotation (XML) and a list of photographs."""

from fuzz.harness import in_a_sentence, parts, workplace

from mmcam.datasets.voc import annotation, listed

ROOT = workplace()
FILE = ROOT / "Annotations" / "000001.xml"
LIST = ROOT / "ImageSets" / "Main" / "test.txt"
for each in (FILE, LIST):
    each.parent.mkdir(parents=True)


def read(data: bytes) -> None:
    described, names = parts(data, 2)
    FILE.write_bytes(described)
    LIST.write_bytes(names)
    with in_a_sentence():
        photo = annotation(FILE, ROOT / "000001.jpg")
        width, height = photo.size
        for thing in photo.things:
            left, top, right, bottom = thing.box
            assert 0 <= left <= right < width
            assert 0 <= top <= bottom < height
    with in_a_sentence():
        assert listed(ROOT, "test")
