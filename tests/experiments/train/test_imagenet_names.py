"""Names out of WordNet: a file in its format is read, and what is kept of it follows from the rules."""

import json

from experiments.train.imagenet_names import Synset, hypernyms, matching, read_nouns, runs, unambiguous, written

NOUNS = """  1 This software and database is being provided to you, the LICENSEE, by
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | that which exists
00000002 03 n 02 sea_bird 0 seafowl 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | a bird of the sea; "it dives"
00000003 03 n 01 gull 0 003 @i 00000002 n 0000 %p 00000001 n 0000 + 00000009 v 0101 | mostly white
"""


def test_a_file_of_wordnets(tmp_path):
    (tmp_path / "data.noun").write_text(NOUNS)
    assert read_nouns(tmp_path / "data.noun") == {
        "00000001": Synset(("entity",), (), "that which exists"),
        "00000002": Synset(("sea bird", "seafowl"), ("00000001",), "a bird of the sea"),
        "00000003": Synset(("gull",), ("00000002",), "mostly white"),
    }


TREE = {
    "1": Synset(("entity",), (), ""),
    "2": Synset(("object",), ("1",), ""),
    "3": Synset(("thing that lives",), ("2",), ""),
    "4": Synset(("animal", "beast"), ("3",), ""),
    "5": Synset(("bird",), ("4",), ""),
    "6": Synset(("machine",), ("3",), ""),
    "7": Synset(("crane",), ("5",), "a long neck"),
    "8": Synset(("gull", "seagull"), ("5",), "white"),
    "9": Synset(("crane",), ("6",), "lifts heavy things"),
    "10": Synset(("toy",), ("6",), ""),
    "11": Synset(("ball",), ("10",), "round"),
}
CLASSES = ["7", "8", "9", "11"]


def test_hypernyms_that_say_something():
    """Not the first three levels, and not what holds more than half of the classes."""
    assert hypernyms(CLASSES, TREE) == {
        "animal": [0, 1],
        "beast": [0, 1],
        "bird": [0, 1],
        "machine": [2, 3],
        "toy": [3],
    }
    assert hypernyms([*CLASSES[:2], CLASSES[2]], TREE) == {"machine": [2]}, "two of three are more than half"


def test_a_word_of_two_meanings_is_told_apart():
    words = [list(TREE[offset].words) for offset in CLASSES]
    groups = {**hypernyms(CLASSES, TREE), "Ball": [2]}
    shown = unambiguous(words, [TREE[offset] for offset in CLASSES], TREE, groups)
    assert shown == ["crane (bird)", "gull", "crane (machine)", "ball (toy)"]


def test_a_class_is_found_by_words_and_definition():
    by_word = {"crane": ["7", "9"], "gull": ["8"], "seagull": ["8"]}
    assert matching(["crane"], "lifts heavy loads", TREE, by_word) == "9"
    assert matching(["crane"], "has a long neck", TREE, by_word) == "7"


def test_runs_are_short_and_the_file_is_json():
    assert runs([1, 2, 3, 7]) == "1-3 7"
    assert json.loads(written([{"wnid": "n1", "name": "gull", "words": ["gull"]}], {"bird": [0]})) == {
        "classes": [{"wnid": "n1", "name": "gull", "words": ["gull"]}],
        "hypernyms": {"bird": "0"},
    }
