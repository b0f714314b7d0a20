"""What a job is about: pictures by ids that stay the same, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmcam.files import json_text, parsed

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the picture from 0, right and bottom inclusive."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known to be true of a picture.

    Attributes:
        classes: what it shows, as its source calls them.
        boxes: of a class, where it is.
        masks: of a class, the files that show where it is.
        segments: of a class, COCO's polygons or run lengths.
        answers: to the question, one a person.
        captions: that people wrote.
    """

    classes: tuple[str, ...] = ()
    boxes: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)
    masks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    segments: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A picture, or a question about one.

    Attributes:
        id: unique in its source and the same whenever it is read.
        picture: where it is: a path or URL, from the source's root where it is relative; in a tar, "TAR#OFFSET+BYTES".
        question: that the source asks about it; "" for none.
        truth: what the source knows of it; None for nothing.
    """

    id: str
    picture: str
    question: str = ""
    truth: Truth | None = None


def packed(items: Sequence[Item]) -> str:
    """Items as a text that another machine reads."""
    return json_text([[one.id, one.picture, one.question, one.truth and asdict(one.truth)] for one in items])


def unpacked(text: str) -> list[Item]:
    """The items of `packed`."""
    return [Item(id_, at, question, _truth(truth) if truth else None) for id_, at, question, truth in parsed(text)]


def _truth(given: dict[str, Any]) -> Truth:
    return Truth(
        classes=tuple(given["classes"]),
        boxes={label: tuple(map(_box, each)) for label, each in given["boxes"].items()},
        masks={label: tuple(each) for label, each in given["masks"].items()},
        segments={label: tuple(each) for label, each in given["segments"].items()},
        answers=tuple(given["answers"]),
        captions=tuple(given["captions"]),
    )


def _box(sides: Sequence[int]) -> Box:
    left, top, right, bottom = sides
    return left, top, right, bottom
