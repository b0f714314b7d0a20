"""The pictures of the pointing game, and where each category is: VOC's boxes, COCO's masks, vignettes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mmcam
from mmcam.datasets import vignettes, voc
from mmcam.datasets.captioned import read_text
from mmcam.datasets.concepts.coco import CocoConcepts
from mmcam.datasets.concepts.voc import CLASSES

Mask = NDArray[np.bool_]

TOLERANCE: Final = 15
"""Pixels of an original photograph around a maximum that count as the maximum."""
FULL: Final = 2**16
"""Masks are not made smaller than the photograph."""


@dataclass(frozen=True)
class Subject:
    """A picture; it and its masks are read when they are asked for.

    Attributes:
        name: no other picture has it.
        picture: opens it.
        truth: the pixels (H,W) of every category that is there, all of its instances together.
        tolerance: in pixels of this picture.
        unclear: categories that are there but not asked for, as all of their instances are hard to recognise.
    """

    name: str
    picture: Callable[[], Image.Image]
    truth: Callable[[], dict[str, Mask]]
    tolerance: float
    unclear: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Game:
    """A data set: its categories, in the order of a finetuned network's outputs, and its pictures."""

    categories: Sequence[str]
    subjects: Callable[[], Iterator[Subject]]


def vignette_game(count: int) -> Game:
    """Test vignettes and the kinds of things in them; the very pixel has to be hit."""
    return Game(vignettes.KINDS, lambda: map(vignette, range(count)))


def vignette(i: int) -> Subject:
    """A test vignette."""
    scene = vignettes.draw(vignettes.seed("test", i))
    masks = {kind: scene.kind_mask(kind) for kind in dict.fromkeys(thing.kind for thing in scene.truth.things)}
    return Subject(str(i), lambda: scene.image, lambda: {kind: mask for kind, mask in masks.items() if mask.any()}, 0)


def voc_game(root: Path, limit: int | None = None, split: str = "test") -> Game:
    """VOC's photographs and boxes.

    All boxes of a class are its pixels, difficult ones included; a class that has no others is not asked for.

    Args:
        root: a year's folder, as ``VOCdevkit/VOC2007``.
        limit: only the first so many.
        split: the list.
    """
    return Game(CLASSES, lambda: map(voc_subject, islice(voc.detection(root, split), limit)))


def voc_subject(photo: voc.Photo) -> Subject:
    """A photograph of VOC."""
    present = {thing.name for thing in photo.things}

    def truth() -> dict[str, Mask]:
        masks = {name: np.zeros(photo.size[::-1], bool) for name in CLASSES if name in present}
        for thing in photo.things:
            left, top, right, bottom = thing.box
            masks[thing.name][top : bottom + 1, left : right + 1] = True
        return masks

    unclear = frozenset(present - set(photo.names()))
    return Subject(photo.path.stem, partial(of_size, photo.path, photo.size), truth, TOLERANCE, unclear)


def of_size(path: Path, size: tuple[int, int]) -> Image.Image:
    """A photograph.

    Raises:
        PictureError: it is not of the (width, height) its annotations are about.
    """
    picture = mmcam.load_image(path)
    if picture.size != size:
        raise mmcam.PictureError(
            f"{path} is {picture.width}×{picture.height} when upright, but its boxes are for {size[0]}×{size[1]}; "
            "use the official picture."
        )
    return picture


def coco_game(root: Path, limit: int | None = None) -> Game:
    """COCO's photographs and masks, crowds included.

    Args:
        root: holds ``annotations/instances_val2014.json`` and ``val2014/``, or ``instances.json`` and ``images/``.
            Entries whose pictures were made smaller have "orig_width"; the tolerance is that of the original.
        limit: only the first so many.

    Raises:
        ValueError: neither is there.
    """
    layouts = [("annotations/instances_val2014.json", "val2014"), ("instances.json", "images")]
    file, pictures = next(((root / f, root / p) for f, p in layouts if (root / f).is_file()), (None, None))
    if file is None or pictures is None:
        raise ValueError(
            f"{root} holds neither annotations/instances_val2014.json nor instances.json; data/README.md says where "
            "COCO's files go."
        )
    data = CocoConcepts(file, pictures, side=FULL)
    entries = json.loads(read_text(file))["images"]
    subjects = partial(map, partial(coco_subject, data), range(len(data)), entries)
    return Game([concept.name for concept in data.concepts], lambda: islice(subjects(), limit))


def coco_subject(data: CocoConcepts, i: int, entry: dict[str, Any]) -> Subject:
    """A photograph of COCO."""

    def truth() -> dict[str, Mask]:
        layers = data.labels(i)
        found = {int(number): layer == number for layer in layers for number in np.unique(layer) if number}
        return {data.concepts[number - 1].name: mask for number, mask in sorted(found.items())}

    tolerance = TOLERANCE * entry["width"] / entry.get("orig_width", entry["width"])
    return Subject(entry["file_name"], partial(data.picture, i), truth, tolerance)
