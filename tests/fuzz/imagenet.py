"""ImageNet: the classes and the list, and boxes as XML, as CSV, as ids of the challenge with their translation."""

from fuzz.harness import in_a_sentence, parts, workplace

from mmcam.datasets.imagenet import blacklisted, boxes_of_csv, boxes_of_xml, ground_truth, synsets, validation

ROOT = workplace()
CLASSES, MAPPING = ROOT / "LOC_synset_mapping.txt", ROOT / "map_clsloc.txt"
LIST = ROOT / "ILSVRC" / "ImageSets" / "CLS-LOC" / "val.txt"
CSV, BLACK = ROOT / "LOC_val_solution.csv", ROOT / "ILSVRC2014_clsloc_validation_blacklist.txt"
LIST.parent.mkdir(parents=True)


def read(data: bytes) -> None:
    if data.lstrip().startswith(b"<"):
        (ROOT / "one.xml").write_bytes(data)
        with in_a_sentence():
            boxes_of_xml(ROOT / "one.xml")
        return
    for file, content in zip((CLASSES, LIST, CSV, BLACK, MAPPING), parts(data, 5), strict=True):
        file.write_bytes(content)
    with in_a_sentence():
        photos = list(validation(ROOT))
        classes = synsets(CLASSES)
        assert all(0 <= photo.label < len(classes) and photo.boxes for photo in photos)
    with in_a_sentence():
        boxes_of_csv(CSV)
    with in_a_sentence():
        blacklisted(BLACK)
    with in_a_sentence():
        ground_truth(BLACK, MAPPING, synsets(CLASSES))
