"""The pictures that are learnt from: each of one class, and of one group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmcam.diagnosis.labelled import Labelled, LabelledPicture
from mmcam.errors import ExplainError

LEAST = 3
"""Groups that a class needs: one each to train, to choose by, and to test."""


@dataclass(frozen=True)
class Examples:
    """Pictures to learn from.

    Attributes:
        pictures: as they were read.
        classes: their names, sorted.
        labels: of each picture the index of its class.
        groups: of each picture what it belongs to, its own path where nothing says.
        grouped: whether something says.
    """

    pictures: tuple[LabelledPicture, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    grouped: bool

    @property
    def masked(self) -> bool:
        """Some masks say where a class is."""
        return any(each.masks or each.boxes for each in self.pictures)


def examples_of(data: Labelled) -> Examples:
    """Labelled pictures as examples of one class each.

    Raises:
        ExplainError: a picture of several classes, a class of too few pictures or groups, one class alone, or groups
            that only some pictures have.
    """
    if several := next((each for each in data.pictures if len(each.labels) > 1), None):
        raise ExplainError(
            f"{several.path.name} is of {len(several.labels)} classes, {' and '.join(several.labels[:3])}; give each "
            "picture the one that it is to be told by."
        )
    without = [each.path.name for each in data.pictures if not each.group]
    grouped = len(without) < len(data.pictures)
    if grouped and without:
        raise ExplainError(
            f"{len(without)} of {len(data.pictures)} pictures have no group, the first is {without[0]}; fill the "
            "column group for all, or leave it out."
        )
    if len(data.classes) < 2:
        raise ExplainError(
            f"All pictures of {data.source} are of the class {data.classes[0]!r}; a classifier needs another, too, "
            "such as pictures without a defect."
        )
    groups = tuple(each.group or str(each.path) for each in data.pictures)
    labels = tuple(data.classes.index(each.labels[0]) for each in data.pictures)
    _check_numbers(data.source, data.classes, labels, groups, grouped)
    return Examples(data.pictures, data.classes, labels, groups, grouped)


def _check_numbers(
    source: Path, classes: tuple[str, ...], labels: tuple[int, ...], groups: tuple[str, ...], grouped: bool
) -> None:
    """Raise ExplainError for a class of too few pictures or groups."""
    pictures = Counter(labels)
    own = Counter(label for label, _ in dict.fromkeys(zip(labels, groups, strict=True)))
    for index, name in enumerate(classes):
        if pictures[index] < LEAST:
            count = pictures[index]
            raise ExplainError(
                f"The class {name!r} of {source} has {count} picture{'s' * (count != 1)}; it needs at least {LEAST}, "
                "one each to train, to choose by and to test, and far more to be told well."
            )
        if grouped and own[index] < LEAST:
            raise ExplainError(
                f"The {pictures[index]} pictures of the class {name!r} belong to {own[index]} "
                f"group{'s' * (own[index] != 1)}, and a group stays together; it needs at least {LEAST}, one each to "
                "train, to choose by and to test."
            )
