"""Visual words: every category of COCO has some, none is of two, and phrases are not taken for their last word."""

import csv

import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from mmcam.datasets.visual_words import TABLE, Named, categories, named, plural

COCO = set(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]) - {"N/A", "__background__"}


def rows():
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [(row["category"], row["words"].split("; ")) for row in csv.DictReader(file)]


def test_each_category_has_its_name_and_no_word_is_of_two():
    assert {category for category, _ in rows()} - {""} == COCO
    owner = {}
    for category, words in rows():
        for word in words:
            for form in (word, plural(word)):
                assert owner.setdefault(form, category) == category, form
                assert form == form.strip().lower()
    assert all(owner[category] == category for category in COCO)
    assert sum(len(words) for category, words in rows() if category) > 800, "the paper's list has 830"


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Two women with puppies", [(1, "person"), (3, "dog")]),
        ("a man eats a hot dog", [(1, "person"), (5, "hot dog")]),
        ("traffic lights above a fire truck", [(1, "traffic light"), (5, "truck")]),
        ("a skateboarder with a tennis racquet", [(1, "person"), (5, "tennis racket")]),
        ("two glasses of wine and a glass", [(1, "wine glass")]),
        ("a teddy bear beside a bear", [(2, "teddy bear"), (5, "bear")]),
        ("people wait at the train station", [(0, "person")]),
        ("train tracks", []),
        ("a dog house and its dog", [(5, "dog")]),
        ("sheep geese knives buses", [(0, "sheep"), (1, "bird"), (2, "knife"), (3, "bus")]),
        ("a bowl of oranges", [(1, "bowl"), (3, "orange")]),
        ("", []),
    ],
)
def test_captions(caption, found):
    assert [(word.position, word.category) for word in named(caption.split())] == found


def test_the_noun_of_a_phrase_stands_for_it():
    assert named(["a", "red", "fire", "hydrant"]) == [Named(3, "fire hydrant", "fire hydrant")]
    assert named(["a", "glass", "of", "milk"]) == [Named(1, "glass of milk", "cup")]


@pytest.mark.parametrize(
    ("one", "many"),
    [("bus", "buses"), ("bench", "benches"), ("puppy", "puppies"), ("boy", "boys"), ("traffic light", "traffic lights"),
     ("glass of wine", "glasses of wine"), ("toothbrush", "toothbrushes"), ("box", "boxes")],
)  # fmt: skip
def test_plurals(one, many):
    assert plural(one) == many
    assert categories().get(many) == categories().get(one)
