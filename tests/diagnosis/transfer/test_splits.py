"""Splits: disjoint, whole groups, every class in every part; what cannot be split is a sentence."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.diagnosis.labelled import Labelled, LabelledPicture
from mmcam.diagnosis.transfer.examples import Examples, examples_of
from mmcam.diagnosis.transfer.splits import split_of, write_splits
from mmcam.errors import ExplainError


def labelled(rows):
    """Pictures of (class, group) pairs; none is opened."""
    pictures = tuple(LabelledPicture(Path(f"{i}.png"), (name,), group) for i, (name, group) in enumerate(rows))
    return Labelled(Path("photos"), pictures)


def of_groups(members):
    """Examples of groups, each a list of class numbers."""
    rows = [(label, str(group)) for group, own in enumerate(members) for label in own]
    classes = tuple(map(str, range(1 + max(label for label, _ in rows))))
    labels, groups = zip(*rows, strict=True)
    return Examples(tuple([None] * len(rows)), classes, labels, groups, True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=12), min_size=2, max_size=8), st.integers(0, 50))
def test_every_class_is_in_every_part_and_groups_stay_whole(sizes, seed):
    """Groups of one class each, at least three a class, of one to four pictures: a split there always is."""
    examples = of_groups([[label] * size for label, own in enumerate(sizes) for size in own])
    split = split_of(examples, seed)
    parts = list(split.parts.values())
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(examples.labels)))
    groups = [{examples.groups[row] for row in part} for part in parts]
    assert sum(map(len, groups)) == len(set(examples.groups))
    for part in parts:
        assert {examples.labels[row] for row in part} == set(range(len(examples.classes)))
    again = split_of(examples, seed).parts.values()
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_shares_of_every_class_are_near_three_to_one_to_one():
    examples = of_groups([[label] for label, count in enumerate((200, 50, 30)) for _ in range(count)])
    split = split_of(examples, 3)
    for label, count in enumerate((200, 50, 30)):
        own = [sum(examples.labels[row] == label for row in part) / count for part in split.parts.values()]
        np.testing.assert_allclose(own, (0.6, 0.2, 0.2), atol=1 / count)


def test_mixed_groups_are_split_where_they_can_be():
    """A street with sound and damaged houses in each photograph series."""
    examples = of_groups([[0, 0, 1], [0, 1, 2], [0, 2], [0, 0, 0, 1], [1, 2], [0, 0], [2, 0]])
    split = split_of(examples, 0)
    for part in split.parts.values():
        assert {examples.labels[row] for row in part} == {0, 1, 2}


def test_groups_across_classes_that_no_split_serves():
    """Four groups, and each class in three of them: each part would need one of every three of four, so four parts."""
    members = [[c for c in range(4) if c != group] for group in range(4)]
    with pytest.raises(ExplainError, match=r"all 4 classes, with groups left whole.*; add groups to the rarest class"):
        split_of(of_groups(members), 0)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("a", "")] * 5 + [("b", "")], r"The class 'b' of photos has 1 picture; it needs at least 3"),
        ([("a", "")] * 5 + [("b", "")] * 2, r"The class 'b' of photos has 2 pictures; it needs"),
        ([("a", "")] * 5, r"All pictures of photos are of the class 'a'; a classifier needs another"),
        (
            [("a", str(i)) for i in range(4)] + [("b", "9")] * 6,
            r"The 6 pictures of the class 'b' belong to 1 group, and",
        ),
        (
            [("a", "1")] * 4 + [("b", "")] * 4,
            r"4 of 8 pictures have no group, the first is 4.png; fill the column group",
        ),
    ],
)
def test_pictures_that_will_not_do(rows, sentence):
    with pytest.raises(ExplainError, match=sentence):
        examples_of(labelled(rows))


def test_a_picture_of_two_classes():
    pictures = (LabelledPicture(Path("x.png"), ("crack", "damp")),)
    with pytest.raises(ExplainError, match=r"x.png is of 2 classes, crack and damp; give each picture the one"):
        examples_of(Labelled(Path("photos"), pictures))


def test_the_table_of_a_split(tmp_path):
    pictures = tuple(LabelledPicture(Path(f"{i}.png"), ("ab"[i % 2],), f"g{i}") for i in range(10))
    examples = examples_of(Labelled(Path("photos"), pictures))
    split = split_of(examples, 0)
    with write_splits(tmp_path / "splits.csv", examples, split).open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["picture"], row["part"]) for row in rows} == {
        (f"{i}.png", name) for name, part in split.parts.items() for i in part
    }
    assert all(
        row["class"] == "ab"[int(row["picture"][0]) % 2] and row["group"] == f"g{row['picture'][0]}" for row in rows
    )
