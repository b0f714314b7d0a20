"""What the writer says is true, and the checker finds what is not."""

import dataclasses
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.datasets import vignettes as V
from mmcam.datasets.vignettes.relations import OPPOSITE, stands

captions = V.captions


@pytest.fixture(scope="module")
def truths() -> list[V.Truth]:
    return [V.describe(V.seed(split, i)) for split in ("train", "heldout") for i in range(1200)]


def test_every_word_the_writer_claims_is_found_right(truths: list[V.Truth]) -> None:
    for truth in truths:
        for caption in captions.write(truth):
            checked = captions.check(caption.text, truth)
            assert [(c.position, c.word, c.category) for c in checked] == [
                (m.position, m.word, m.category) for m in caption.marks
            ]
            assert all(c.correct for c in checked), caption.text


def test_captions_are_plain_short_and_in_the_vocabulary(truths: list[V.Truth]) -> None:
    used = set()
    for truth in truths:
        written = captions.write(truth)
        assert len(written) == 5
        for caption in written:
            assert re.fullmatch(r"[a-z]+( [a-z]+)*", caption.text)
            words = caption.text.split()
            assert len(words) <= captions.LONGEST
            assert all(words[m.position] == m.word for m in caption.marks)
            used.update(words)
    assert used <= set(captions.VOCABULARY)
    assert len(used) > 0.95 * len(captions.VOCABULARY)
    assert list(captions.VOCABULARY) == sorted(set(captions.VOCABULARY))


def test_captions_speak_of_relations_colours_and_scenes_often(truths: list[V.Truth]) -> None:
    several = [c for t in truths if len(t.things) > 1 for c in captions.write(t)]
    everything = [c for t in truths for c in captions.write(t)]

    def share(category: str, among: list[V.Caption]) -> float:
        return sum(any(m.category == category for m in c.marks) for c in among) / len(among)

    assert share("relation", several) >= 0.5
    assert share("colour", everything) > 0.8
    assert share("scene", everything) > 0.7
    assert 0.2 < share("texture", everything) < 0.8
    assert 0.2 < share("scale", everything) < 0.8


def test_marks_mean_things_of_which_the_word_is_true(truths: list[V.Truth]) -> None:
    for truth in truths[:600]:
        for caption in captions.write(truth):
            for mark in caption.marks:
                things = [truth.things[i] for i in mark.things]
                if mark.category in ("colour", "texture", "scale"):
                    assert {getattr(t, mark.category) for t in things} == {mark.word}
                elif mark.category == "object":
                    assert len({t.kind for t in things}) == 1
                elif mark.category == "relation":
                    assert stands(things[0], mark.word, things[1])
                elif mark.category == "scene":
                    assert things == []
                    assert mark.word == truth.scene


def test_a_corrupted_word_is_found_wrong(truths: list[V.Truth]) -> None:
    dice = random.Random(0)
    caught = dict.fromkeys(captions.CATEGORIES, 0)
    for truth in truths[:800]:
        values = {
            "object": [k for k in V.KINDS if all(t.kind != k for t in truth.things)],
            "scene": [s for s in V.SCENES if s != truth.scene],
            "colour": [c for c in V.COLOURS if all(t.colour != c for t in truth.things)],
            "texture": [x for x in V.TEXTURES if all(t.texture != x for t in truth.things)],
            "scale": [s for s in V.SCALES if all(t.scale != s for t in truth.things)],
            "count": ["two", "three"],
        }
        for caption in captions.write(truth):
            for mark in caption.marks:
                words = caption.text.split()
                if mark.category == "relation":
                    first, second = (truth.things[i] for i in mark.things)
                    unique = len({t.kind for t in truth.things}) == len(truth.things)
                    if mark.word not in OPPOSITE or not unique or first == second:
                        continue
                    words[mark.position] = OPPOSITE[mark.word]
                else:
                    choices = [w for w in values[mark.category] if w != mark.word]
                    if not choices:
                        continue
                    words[mark.position] = dice.choice(choices)
                checked = {c.position: c for c in captions.check(words, truth)}
                assert not checked[mark.position].correct, " ".join(words)
                assert checked[mark.position].things == ()
                caught[mark.category] += 1
    assert all(n > 50 for n in caught.values()), caught


def _thing(kind: str, colour: str, x: int, y: int, texture: str = "plain", scale: str = "small") -> V.Thing:
    base = V.describe(0).things[0]
    box = (x - 20, y - 20, x + 20, y + 20)
    return dataclasses.replace(
        base, kind=kind, colour=colour, texture=texture, scale=scale, box=box, centre=(float(x), float(y))
    )


_SCENE = V.Truth(
    0,
    "beach",
    (
        _thing("dog", "red", 40, 100),
        _thing("dog", "blue", 180, 100, "striped", "large"),
        _thing("car", "red", 110, 104),
    ),
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a red dog left of a car", []),
        ("a blue dog left of a car", ["left"]),
        ("a dog right of a car", []),  # one of them is
        ("a striped red dog", ["striped"]),  # not both: no dog is striped and red
        ("a red striped dog", ["red"]),
        ("a small striped blue dog", ["small"]),
        ("a green dog", ["green"]),
        ("a small blue striped dog", ["small"]),
        ("two dogs on the beach", []),
        ("three dogs at sea", ["three", "sea"]),
        ("two red dogs", ["two"]),
        ("a cat above a red car", ["cat", "above"]),
        ("red", ["red"]),
        ("left of a car red left", ["left", "red", "left"]),
        ("left left of", ["left", "left"]),
        ("dog car dog", []),
        ("a dog next to a dog", ["next"]),
        ("zebra of the 7 seas", []),
        ("", []),
    ],
)
def test_check_by_hand(text: str, wrong: list[str]) -> None:
    checked = captions.check(text, _SCENE)
    assert [c.word for c in checked if not c.correct] == wrong


def test_a_relation_says_which_of_two_dogs_is_meant() -> None:
    checked = {c.word: c for c in captions.check("a dog right of a car", _SCENE)}
    assert checked["dog"].things == (1,)
    assert checked["right"].things == (1, 2)
    assert {c.word: c for c in captions.check("a dog", _SCENE)}["dog"].things == (0, 1)


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.sampled_from(captions.VOCABULARY), max_size=20), seed=st.integers(0, 500))
def test_any_words_can_be_checked(words: list[str], seed: int) -> None:
    truth = V.describe(seed)
    checked = captions.check(words, truth)
    assert captions.check(" ".join(words), truth) == checked
    positions = [c.position for c in checked]
    assert positions == sorted(set(positions))
    for c in checked:
        assert words[c.position] == c.word
        assert c.correct or c.things == ()
        assert all(0 <= i < len(truth.things) for i in c.things)


def test_things_on_one_spot_are_joined_and_a_picture_of_nothing_is_refused() -> None:
    crowd = V.Truth(3, "sea", (_thing("dog", "red", 100, 100), _thing("car", "blue", 110, 110)))
    for caption in captions.write(crowd):
        assert all(c.correct for c in captions.check(caption.text, crowd))
        assert " is and " not in caption.text
    with pytest.raises(ValueError, match="without things"):
        captions.write(V.Truth(3, "sea", ()))
    with pytest.raises(ValueError, match="without things"):
        V.questions.ask(V.Truth(3, "sea", ()))
