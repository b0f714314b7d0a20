"""Pictures of one's own and what they show: a folder for each class, a table, or ILSVRC's layout.

* **A folder for each class**: ``photos/dog/1.jpg``, ``photos/cat/2.png``; what lies deeper belongs to the class, too.
* **A table**: a CSV in UTF-8 with the columns ``picture`` and ``class``, and, if there are, ``group`` and ``mask``.
  Paths are relative to it. A picture with several lines has several classes; a mask shows where its line's class is.
* **ILSVRC**: the folder with ``LOC_synset_mapping.txt`` and ``ILSVRC/``; its validation photographs, with their boxes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcam.datasets import imagenet
from mmcam.datasets.concepts.folder import read_mask, read_table
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, is_folder
from mmcam.image import load_image
from mmcam.image.open import SUFFIXES
from mmcam.progress import with_progress

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels from 0, right and bottom inclusive, as ILSVRC has them."""

_MAPPING = "LOC_synset_mapping.txt"


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and what it shows.

    Attributes:
        path: of its file.
        labels: the classes that it shows, at least one, as they are written.
        group: what pictures are taken of together, as a building or a patient, and so belong on one side of a split; ""
            if nothing says.
        masks: by label, the files that show where it is.
        boxes: by label, where it is.
    """

    path: Path
    labels: tuple[str, ...]
    group: str = ""
    masks: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    boxes: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """Pictures with their classes.

    Attributes:
        source: the folder or table.
        pictures: at least one, in the order of the table, or of the classes and file names.
        skipped: files that are left out, each with the sentence that says why.
    """

    source: Path
    pictures: tuple[LabelledPicture, ...]
    skipped: tuple[tuple[Path, str], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label that a picture has, sorted."""
        return tuple(sorted({label for picture in self.pictures for label in picture.labels}))

    @property
    def by_class(self) -> dict[str, list[LabelledPicture]]:
        """The pictures of each class; one of several classes is in several lists."""
        return {label: [each for each in self.pictures if label in each.labels] for label in self.classes}


def read_labelled(source: str | os.PathLike[str]) -> Labelled:
    """Read which pictures there are and what they show; no picture is opened yet (see `readable`).

    Args:
        source: a folder with a folder for each class, a ``.csv``, or ILSVRC's folder.

    Raises:
        ExplainError: nothing is there, or no picture; a class without a picture; a folder without classes.
        ValueError: a table or a file of ILSVRC's is of another form; the message says what it lacks.
    """
    path = Path(source)
    if is_file(path) and path.suffix.lower() == ".csv":
        return Labelled(path, tuple(_of_table(path)))
    if not is_folder(path):
        raise ExplainError(
            f"There are no labelled pictures at {path}; name a folder with a folder for each class, or a .csv with the "
            "columns picture and class."
        )
    if is_file(path / _MAPPING):
        return Labelled(path, tuple(_of_imagenet(path)))
    return _of_folder(path)


def readable(data: Labelled) -> Labelled:
    """The pictures that can be opened; the others are added to `Labelled.skipped`.

    Raises:
        ExplainError: none can.
    """
    good, bad = [], list(data.skipped)
    for each in with_progress(data.pictures, "Opening"):
        try:
            load_image(each.path)
            good.append(each)
        except PictureError as error:
            bad.append((each.path, str(error)))
    if not good:
        raise ExplainError(f"None of the {len(data.pictures)} pictures of {data.source} can be opened: {bad[-1][1]}")
    return replace(data, pictures=tuple(good), skipped=tuple(bad))


def region(picture: LabelledPicture, label: str, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where a class is in its picture, if masks or boxes say.

    Args:
        picture: as it was read.
        label: one of its classes.
        size: (width, height) of the picture as it was opened, upright.

    Returns:
        bool (height, width); None where nothing says.

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    found = joined_masks(picture.masks.get(label, ()), picture.path, size)
    for left, top, right, bottom in picture.boxes.get(label, ()):
        found[top : bottom + 1, left : right + 1] = True
    return found if label in picture.masks or label in picture.boxes else None


def joined_masks(masks: Sequence[Path], picture: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where any of some masks of a picture of (width, height) shows something: bool (height, width).

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    found = np.zeros(size[::-1], dtype=bool)
    for path in masks:
        mask = read_mask(path)
        if mask.shape[::-1] != size:
            raise PictureError(
                f"The mask {path} is {mask.shape[1]}×{mask.shape[0]}, but {picture.name} is {size[0]}×{size[1]} when "
                "upright; make the mask as large as the picture."
            )
        found |= mask
    return found


def _of_folder(root: Path) -> Labelled:
    """A folder for each class; hidden ones are none. Pictures beside these folders have no class and are left out."""
    folders = sorted(path for path in root.iterdir() if is_folder(path) and not path.name.startswith("."))
    beside = sorted(path for path in root.iterdir() if is_file(path) and path.suffix.lower() in SUFFIXES)
    if not folders:
        what = f"{len(beside)} pictures but no folder for a class" if beside else "no folder for a class"
        raise ExplainError(f"{root} holds {what}; put the pictures of each class into a folder of its name.")
    pictures: list[LabelledPicture] = []
    for folder in folders:
        own = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and is_file(path))
        if not own:
            raise ExplainError(f"There is no picture in {folder}; put those of its class there, or remove the folder.")
        pictures += [LabelledPicture(path, (folder.name,)) for path in own]
    why = "It lies beside the folders of the classes and so has none; move it into one."
    return Labelled(root, tuple(pictures), tuple((path, why) for path in beside))


def _of_table(table: Path) -> Iterator[LabelledPicture]:
    """The pictures of a CSV, each with all of its lines."""
    lines: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in read_table(table, ("picture", "class")):
        if missing := next((column for column in ("picture", "class") if not row[column]), None):
            raise ExplainError(f"Line {line} of {table} has no {missing}; fill the cell, or remove the line.")
        lines.setdefault(row["picture"], []).append((line, row))
    if not lines:
        raise ExplainError(f"{table} names no picture; write a line for each below the names of the columns.")
    for name, own in lines.items():
        groups = {row.get("group", ""): line for line, row in own}
        if len(groups) > 1:
            raise ExplainError(
                f"{table} has {name} in the groups {' and '.join(map(repr, groups))}, see line "
                f"{max(groups.values())}; a picture belongs to one."
            )
        masks: dict[str, tuple[Path, ...]] = {}
        for _, row in own:
            if row.get("mask"):
                masks[row["class"]] = (*masks.get(row["class"], ()), table.parent / row["mask"])
        labels = tuple(dict.fromkeys(row["class"] for _, row in own))
        yield LabelledPicture(table.parent / name, labels, next(iter(groups)), masks)


def _of_imagenet(root: Path) -> Iterator[LabelledPicture]:
    """ILSVRC's validation photographs; a class is its WordNet id, as the folders of the training photographs are."""
    ids = [synset.wnid for synset in imagenet.synsets(root / _MAPPING)]
    for photo in imagenet.validation(root):
        yield LabelledPicture(photo.path, (ids[photo.label],), boxes={ids[photo.label]: photo.boxes})
