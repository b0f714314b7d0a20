"""Names in every form that people have them in."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import Deep, pictures, seeded

from mmcam import ExplainError, explain_class
from mmcam.tasks.names import message_of, named, nearest, short

TEXTS = st.lists(st.text(max_size=8), min_size=1, max_size=12)


@given(TEXTS, st.randoms())
def test_every_form_of_the_same_names(texts, order):
    pairs = list(enumerate(texts))
    order.shuffle(pairs)
    forms = [texts, tuple(texts), np.array(texts, dtype=object), dict(pairs), {np.int64(i): t for i, t in pairs}]
    forms += [json.loads(json.dumps(dict(pairs))), dict(enumerate(texts)).values()]
    for form in forms:
        assert named(form) == tuple(texts)
    if len(set(texts)) == len(texts):
        assert named({text: i for i, text in pairs}) == tuple(texts)


def test_digits_as_names():
    """The folders of MNIST are called 0…9, and their order need not be that."""
    assert named({"1": 0, "0": 1}) == ("1", "0")
    assert named({"1": "0", "0": "1"}) == ("1", "0")
    assert named(None) is None


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("cat", "'cat' is neither"),
        (b"cat", "is neither"),
        ({"cat", "dog"}, "is neither"),
        (3, "3 is neither"),
        ([], "no name in names="),
        ({}, "no name in names="),
        (["cat", None], "name of class 1 is None"),
        ([1, 2], "name of class 0 is 1"),
        ({0: "cat", 2: "dog"}, "2 entries and none for class 1"),
        ({1: "cat", 2: "dog"}, "none for class 0"),
        ({-1: "cat", 0: "dog"}, "none for class 1"),
        ({"cat": 0, "kitty": 0}, "class 0 both 'cat' and 'kitty'"),
        ({"0": "cat", 0: "dog"}, "class 0 both 'cat' and 'dog'"),
        ({0.0: "cat"}, "is neither"),
        ({0: 1}, "is neither"),
        ({"cat": "dog"}, "is neither"),
        ({True: "cat", False: "dog"}, "is neither"),
        ({"cat": [0]}, "is neither"),
    ],
)
def test_what_are_no_names(names, sentence):
    with pytest.raises(ExplainError, match=sentence):
        named(names)


def test_a_class_by_the_name_of_a_folder():
    """As ``dataset.class_to_idx`` has it; the map is the one of the index."""
    net, x = seeded(Deep), pictures(1)[0]
    folders = {"owl": 3, "ant": 0, "bee": 1, "cow": 2, "yak": 4}
    by_name, by_index = explain_class(net, x, "owl", names=folders), explain_class(net, x, 3)
    assert by_name.score == by_index.score
    assert by_name.target == "owl"
    assert explain_class(net, x, names=folders).target == sorted(folders, key=folders.get)[int(net(x[None]).argmax())]


@pytest.mark.parametrize("count", [1, 4, 6])
def test_not_as_many_names_as_classes(count):
    for target in (None, 0, -1, "a"):
        with pytest.raises(ExplainError, match=f"There are {count} names for 5 classes"):
            explain_class(seeded(Deep), pictures(1)[0], target, names=list("abcdef")[:count])


@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.text())))
def test_values_in_messages_are_short_and_on_one_line(value):
    for shown in (short(value), short([value] * 100), message_of(ValueError(value))):
        assert len(shown) <= 2000
        assert len(shown.splitlines()) <= 1


def test_what_no_message_can_show_whole():
    assert len(short("y" * 100_000)) < 100
    assert short(10**10_000)
    with pytest.raises(ExplainError) as error:
        nearest("y" * 100_000, ["x" * 100_000, "a\nb"], "class")
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)
