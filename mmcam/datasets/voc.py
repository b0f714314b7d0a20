"""Reader of PASCAL VOC's photographs with boxes, as its classification and detection tasks use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mmcam.datasets.captioned import read_text
from mmcam.datasets.concepts.voc import CLASSES

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the picture from 0, right and bottom inclusive: VOC's own less 1."""


@dataclass(frozen=True)
class Thing:
    """An annotated instance.

    Attributes:
        name: its class.
        box: around what is visible of it.
        difficult: hard to recognise without its surroundings; the challenges leave it out.
        truncated: part of it lies outside the box or the picture.
    """

    name: str
    box: Box
    difficult: bool = False
    truncated: bool = False


@dataclass(frozen=True)
class Photo:
    """A photograph, its (width, height) in pixels, and the things in it."""

    path: Path
    size: tuple[int, int]
    things: tuple[Thing, ...]

    def names(self) -> tuple[str, ...]:
        """The classes in the picture, in VOC's order; one all of whose instances are difficult is left out.

        This is the pointing game's rule (Zhang et al., arXiv 1608.00507, section 4.2).
        """
        clear = {thing.name for thing in self.things if not thing.difficult}
        return tuple(name for name in CLASSES if name in clear)

    def boxes(self, name: str, difficult: bool = True) -> tuple[Box, ...]:
        """The boxes of a class; without the difficult ones if asked."""
        return tuple(thing.box for thing in self.things if thing.name == name and (difficult or not thing.difficult))


def detection(root: Path, split: str = "test") -> Iterator[Photo]:
    """The photographs of a list, each read when it is asked for.

    Args:
        root: a year's folder, as ``VOCdevkit/VOC2007``. Holds ``ImageSets/Main/{train,val,trainval,test}.txt``,
            ``Annotations/*.xml`` and ``JPEGImages/*.jpg``.
        split: the list. A class's own list, as "dog_val", names the photographs that show it: those marked 1; 0 (only
            difficult ones) and -1 are left out.

    Yields:
        A `Photo` each.

    Raises:
        ValueError: the list or an annotation is missing or of another form, or a class is unknown.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010; the development kit of VOC2007.
    """
    for name in listed(root, split):
        yield annotation(root / "Annotations" / f"{name}.xml", root / "JPEGImages" / f"{name}.jpg")


def listed(root: Path, split: str) -> list[str]:
    """The names of a list of ``ImageSets/Main/``: of a class's own list, those marked 1.

    Raises:
        ValueError: the list is missing, lists nothing, or a line is neither "000012" nor "000012 -1".
    """
    file = root / "ImageSets" / "Main" / f"{split}.txt"
    names, lines = [], [line.split() for line in read_text(file).split("\n") if line.strip()]
    for number, parts in enumerate(lines, start=1):
        if len(parts) > 2 or (len(parts) == 2 and parts[1] not in ("1", "0", "-1")):
            raise ValueError(f"Line {number} of {file.name} is not '000012' or '000012 -1': {' '.join(parts)[:60]!r}.")
        if len(parts) == 1 or parts[1] == "1":
            names.append(parts[0])
    if not names:
        raise ValueError(f"{file} lists no photographs; get the official file again.")
    return names


def annotation(file: Path, picture: Path) -> Photo:
    """One file of ``Annotations/``, whose boxes count pixels from 1; parts of people are no things and left out.

    Raises:
        ValueError: the file is missing or of another form, a class is unknown, or a box holds no pixel of the picture.
    """
    text = read_text(file)
    try:
        tree = ElementTree.fromstring(text)
        width, height = (int(tree.findtext(f"size/{side}", "")) for side in ("width", "height"))
        things = tuple(_thing(each, width, height) for each in tree.findall("object"))
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise ValueError(f"{file} is not one of VOC's annotations ({error}).") from error
    return Photo(picture, (width, height), things)


def _thing(each: ElementTree.Element, width: int, height: int) -> Thing:
    name = each.findtext("name", "").strip()
    if name not in CLASSES:
        raise ValueError(f"{name!r} is none of the twenty classes")
    # Some years write pixels with a fraction ("45.70"); they are rounded.
    sides = [round(float(each.findtext(f"bndbox/{side}", ""))) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
    # A pixel over the edge is cut off: it is no reason to refuse a year's files.
    left, top, right, bottom = max(sides[0], 0), max(sides[1], 0), min(sides[2], width - 1), min(sides[3], height - 1)
    if left > right or top > bottom:
        raise ValueError(f"the box {tuple(side + 1 for side in sides)} of a {name} holds no pixel of the picture")
    marks = (each.findtext(mark, "0").strip() == "1" for mark in ("difficult", "truncated"))
    return Thing(name, (left, top, right, bottom), *marks)
