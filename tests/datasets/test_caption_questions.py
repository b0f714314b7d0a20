"""Questions made of captions: what the rules read, what they ask and do not, and the balance of the whole."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.datasets import asked
from mmcam.datasets.caption_questions import TYPES, make, write
from mmcam.datasets.caption_questions.balance import balanced
from mmcam.datasets.caption_questions.exists import absent, kept
from mmcam.datasets.caption_questions.phrases import nouns, phrases, tokens
from mmcam.datasets.caption_questions.rules import colours, doing, numbers, objects, where
from mmcam.datasets.caption_questions.scene import agreed, scene
from mmcam.datasets.caption_questions.wording import TEXTS


def read(caption):
    return [(p.thing, p.number, p.colour, p.plural) for p in phrases(tokens(caption))]


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Two large brown dogs run .", [("dog", 2, "brown", True)]),
        ("A black and white dog with a red ball", [("dog", 1, "black and white", False), ("ball", 1, "red", False)]),
        ("a man in a striped blue shirt", [("man", 1, "", False), ("shirt", 1, "mixed", False)]),
        ("A group of people", [("person", None, "", True)]),
        ("a boy swings on a swing", [("boy", 1, "", False), ("swing", 1, "", False)]),
        ("A couple of dogs", [("dog", 2, "", True)]),
        ("a child eating a hot dog", [("child", 1, "", False), ("food", 1, "", False)]),
        ("the man 's red hat", [("man", 1, "", False), ("hat", 1, "red", False)]),
    ],
)
def test_phrases(caption, found):
    assert read(caption) == found


@settings(deadline=None)
@given(st.text())
def test_any_caption_can_be_read(caption):
    """Phrases lie within the caption, in order, and do not overlap."""
    words = tokens(caption)
    ends = [0]
    for phrase in phrases(words):
        assert ends[-1] <= phrase.start < phrase.end <= len(words)
        assert " ".join(words[: phrase.end]).endswith(phrase.word)
        ends.append(phrase.end)


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(nouns())), min_size=1, max_size=4), st.sampled_from(["red", "blue", "green"]))
def test_a_colour_stays_with_its_noun(words, colour):
    """Of things in a list only the one that is called so has the colour."""
    found = phrases(tokens(f"there is the {colour} {words[0]} , " + " , ".join(f"the {word}" for word in words[1:])))
    assert all(phrase.colour == "" for phrase in found[1:])


def answers(rule, captions, **more):
    return {(q.form, q.about): q.answer for q in rule(scene(captions), **more)}


DOGS = ["A brown dog runs on the beach .", "A dog is running along the shore .", "The brown dog runs on the sand ."]


def test_colour_needs_two_and_no_contradiction():
    assert answers(colours, DOGS)["colour", "dog"] == "brown"
    assert ("colour", "dog") not in answers(colours, [*DOGS, "A white dog on a beach"])
    assert ("colour", "dog") not in answers(colours, DOGS[:2])
    assert answers(colours, DOGS[:2], least=1)["colour", "dog"] == "brown"
    assert ("colour", "dog") not in answers(colours, [*DOGS, "Two dogs run"])


def test_whose_shirt():
    captions = ["a man in a red shirt", "A man wearing a hat and a red shirt"]
    (question,) = (q for q in colours(scene(captions)) if q.about == "shirt")
    assert (question.answer, question.fill["who"]) == ("red", "man")


def test_number_counts_each_new_thing():
    captions = ["A black dog and a white dog", "Two dogs play", "Two dogs are in the snow", "the two dogs"]
    assert answers(numbers, captions)["number", "dog"] == "2"
    assert ("number", "dog") not in answers(numbers, [*captions, "Three dogs"])
    assert ("number", "dog") not in answers(numbers, [*captions, "a dog"])
    assert ("number", "dog") not in answers(numbers, ["Some dogs", "dogs", "many dogs"])


def test_place_and_action():
    assert answers(where, DOGS) == {("where", "where"): "beach"}
    assert answers(doing, DOGS) == {("doing", "dog"): "running"}
    assert answers(where, [*DOGS[:1], "a dog in the snow"]) == {}


def test_objects_of_verbs():
    captions = ["A boy rides a bike", "A boy is riding a red bicycle", "boy on a bike", "A boy on his bike"]
    found = answers(objects, captions)
    assert found["what", "riding"] == "bicycle"
    assert found["who", "who"] == "boy"
    carried = ["A dog with a stick in its mouth", "a dog carrying a stick in its mouth"]
    assert answers(objects, carried)["mouth", "dog"] == "stick"


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=6), st.integers(1, 4))
def test_agreed_answer_has_its_votes_alone(votes, least):
    """Without close pairs an agreed answer is the only one, and enough captions say it."""
    answer = agreed(votes, least)
    said = {vote for own in votes for vote in own}
    assert (answer is not None) == (len(said) == 1 and sum(bool(own) for own in votes) >= least)


def test_hints_keep_no_from_being_asked():
    captions = [["A cyclist on a road"], ["A man in the snow"], ["Two dogs"]]
    assert absent([scene(own) for own in captions], "bicycle") == [1, 2]
    assert absent([scene(own) for own in captions], "man") == [2]  # a cyclist may be one
    assert absent([scene(own) for own in captions], "dog") == [0, 1]


def test_things_that_people_leave_out_are_not_asked_for():
    named = ["a dog"] * 5
    rare = ["a dog with a fence", *["a dog"] * 4]
    twice = ["a dog by a fence", "a dog near the fence", *["a dog"] * 3]
    assert list(kept([scene(own) for own in [named] * 5 + [rare] * 30 + [twice] * 12])) == ["dog"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("abcd"))), st.integers(1, 3))
def test_balance(items, rank):
    """No answer of a form more often than the one of the rank, none lost that is not too frequent."""
    kept_items = balanced(items, lambda i: i[0], lambda i: i[1], np.random.default_rng(0), rank)
    before, after = defaultdict(Counter), defaultdict(Counter)
    for form, answer in items:
        before[form][answer] += 1
    for form, answer in kept_items:
        after[form][answer] += 1
    for form, counts in before.items():
        most = sorted(counts.values(), reverse=True)[:rank][-1]
        expected = {a: min(n, most) for a, n in counts.items()} if len(counts) > 1 else {}
        assert after[form] == expected


@pytest.fixture(scope="module")
def splits():
    """Small sets of photographs with captions that leave no doubt."""
    rng = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 240), ("test", 80)):
        made[split] = []
        for _ in range(count):
            colour, place = rng.choice(["brown", "white", "black"]), rng.choice(["beach", "snow", "street"])
            who = rng.choice(["dog", "man", "woman"])
            what = f"A {colour} dog" if who == "dog" else f"A {who} in a {colour} shirt"
            ball = " with a ball" if rng.random() < 0.5 else ""
            made[split].append([f"{what}{ball} is running on the {place} ."] * 5)
    return made


def test_made_questions(splits):
    made = make(splits, seed=1)
    assert made == make(splits, seed=1)
    for split, pairs in made.items():
        assert {"colour", "object", "place", "exists"} <= {pair.type for pair in pairs} <= set(TYPES)
        assert [pair.photo for pair in pairs] == sorted(pair.photo for pair in pairs)
        exists = defaultdict(Counter)
        for pair in pairs:
            told = " ".join(splits[split][pair.photo])
            assert pair.text.endswith("?")
            if pair.type == "colour" and pair.answer not in ("yes", "no"):
                assert f" {pair.answer} " in told
            if pair.type == "place":
                assert f"the {pair.answer} " in told
            if pair.type == "exists":
                exists[pair.question.about][pair.answer] += 1
                assert (pair.answer == "yes") == (f" {pair.question.about} " in told)
        assert all(counts["yes"] == counts["no"] for counts in exists.values())


def test_a_training_split_is_needed():
    with pytest.raises(ValueError, match="train"):
        make({"test": []})


def test_every_wording_can_be_put():
    known = ("is any", "colour", "thing", "things", "who", "whos", "verb", "doing", "a", "value")
    for ways in TEXTS.values():
        assert all(way.format(**dict.fromkeys(known, "x")).endswith("?") for way in ways)


def test_official_format(tmp_path, splits):
    """What is written is read by the reader of VQA's official files."""
    pairs = make(splits)["test"]
    names, ids = [f"{n}.jpg" for n in range(80)], list(range(1000, 1080))
    write(tmp_path, "test", pairs, names, ids)
    for name in names:
        (tmp_path / name).touch()
    files = tmp_path / "OpenEnded_test_questions.json", tmp_path / "test_annotations.json"
    items = asked.vqa(*files, tmp_path, type_of="question_type")
    assert [(i.path.name, i.question, i.type, i.answers[0]) for i in items] == [
        (names[pair.photo], pair.text, pair.type, pair.answer) for pair in pairs
    ]
    assert {i.type for i in asked.vqa(*files, tmp_path)} <= {"yes/no", "number", "other"}
    assert all(len(i.answers) == 10 for i in items)
    (tmp_path / names[-1]).unlink()
    with pytest.raises(ValueError, match=r"79\.jpg"):
        asked.vqa(*files, tmp_path)
    content = json.loads(files[0].read_text())
    assert content["images"][0] == {"id": 1000, "file_name": "0.jpg"}
    with pytest.raises(ValueError, match="same number"):
        write(tmp_path, "test", pairs, names, [1] * 80)
