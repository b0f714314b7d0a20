"""Any folder of pictures and masks as concepts, told by one table; and how masks become label maps."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.datasets.captioned import read_text
from mmcam.datasets.concepts import Concept, Labels
from mmcam.errors import PictureError
from mmcam.files import is_file
from mmcam.image import load_image, open_raster

SIDE = 112
"""Pixels of a label map's longer side if nothing else is asked for; Broden's label maps are as large."""

Mask = NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)

_COLUMNS = ("picture", "mask", "name", "category")
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 are turned by a quarter


class FolderConcepts:
    """Your own pictures and masks, of which a table says what they show.

    A line of the table says that a mask of a picture shows a concept: ``dog.jpg,masks/dog_ear.png,ear,part``. Where
    the mask is left empty, the whole picture shows it: ``dog.jpg,,meadow,scene``. A picture may have many lines; masks
    of different concepts may overlap, those of the same concept are joined.

    Args:
        table: a CSV in UTF-8 with the columns ``picture, mask, name, category``, in any order. Paths are relative to
            it. A mask is a PNG as large as its picture, upright, and shows the concept where it is not 0 (in a palette
            PNG: where the index is not 0; where a mask is transparent, it shows nothing).
        side: pixels of a label map's longer side at most; masks are reduced to it (nearest). Every unit is brought to
            the label maps' size, so large ones cost time.

    Raises:
        ValueError: the table is missing, lacks a column or a cell, or names no picture; `side` is not positive.
    """

    def __init__(self, table: str | os.PathLike[str], side: int = SIDE) -> None:
        check_side(side)
        self._table, self._side = Path(table), side
        self.name = f"{self._table.absolute().parent.name}/{self._table.name} (labels of {side} px)"
        numbers: dict[Concept, int] = {}
        self._lines: dict[str, list[tuple[int, str, int]]] = {}  # by picture: (line, mask or "", number of the concept)
        for line, row in read_table(self._table, _COLUMNS):
            for column in ("picture", "name", "category"):
                if not row[column]:
                    raise ValueError(f"Line {line} of {self._table} has no {column}; only the mask may be left empty.")
            number = numbers.setdefault(Concept(row["name"], row["category"]), len(numbers) + 1)
            self._lines.setdefault(row["picture"], []).append((line, row["mask"], number))
        self._pictures = list(self._lines)
        if not self._pictures:
            raise ValueError(f"{self._table} names no picture; give it a line for every mask.")
        self.concepts: Sequence[Concept] = tuple(numbers)

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> Image.Image:
        """A picture as RGB, upright; pictures come in the order in which the table first names them.

        Raises:
            PictureError: it cannot be read; the message names its line.
        """
        name = self._pictures[index]
        try:
            return load_image(self._table.parent / name)
        except PictureError as error:
            raise PictureError(f"Line {self._lines[name][0][0]} of {self._table.name}: {error}") from error

    def labels(self, index: int) -> list[Labels]:
        """What the lines of a picture say: a number for each concept of the whole picture, then label maps.

        Raises:
            PictureError: a mask or the picture cannot be read, or they differ in size; the message names the line.
        """
        name = self._pictures[index]
        whole = list(dict.fromkeys(number for _, mask, number in self._lines[name] if not mask))
        masks: dict[int, Mask] = {}
        for line, path, number in self._lines[name]:
            if not path or number in whole:
                continue
            try:
                mask = reduced(self._mask(path, name), self._side)
            except PictureError as error:
                raise PictureError(f"Line {line} of {self._table.name}: {error}") from error
            masks[number] = masks[number] | mask if number in masks else mask
        return [*whole, *stacked(masks)]

    def _mask(self, path: str, picture: str) -> Mask:
        mask = read_mask(self._table.parent / path)
        (height, width), size = mask.shape, _upright_size(self._table.parent / picture)
        if (width, height) != size:
            raise PictureError(
                f"The mask {path} is {width}×{height}, but {picture} is {size[0]}×{size[1]} when upright; make the "
                "mask as large as the picture."
            )
        return mask


def read_mask(path: Path) -> Mask:
    """Where a mask shows its concept, (H,W): where it is not 0; where it is transparent, it shows nothing.

    Raises:
        PictureError: as `stored`.
    """
    mask: Mask = stored(path) != 0
    if mask.ndim == 2:
        return mask
    opaque = mask.shape[2] in (2, 4)  # the last channel is how opaque it is
    shown: Mask = np.logical_or.reduce(mask[:, :, :-1] if opaque else mask, axis=2)
    return np.logical_and(shown, mask[:, :, -1]) if opaque else shown


def stacked(masks: Mapping[int, Mask]) -> list[Labels]:
    """Masks of one size as label maps: as few as there is need for, one if nothing overlaps.

    Args:
        masks: (h,w) by the number of the concept.

    Returns:
        int32 (h,w); each concept is in one of them, whole. None for a concept without pixels.
    """
    layers: list[NDArray[np.int32]] = []
    for number, mask in sorted(masks.items()):
        if not mask.any():
            continue
        free = next((layer for layer in layers if not layer[mask].any()), None)
        if free is None:
            free = np.zeros(mask.shape, np.int32)
            layers.append(free)
        free[mask] = number
    return list(layers)


def reduced(values: NDArray[Value], side: int) -> NDArray[Value]:
    """A map (H,W) with a longer side of at most `side` pixels: each takes the value at its centre (nearest)."""
    longer = max(values.shape)
    if longer <= side:
        return values
    # Whole numbers: pixel i of n has its centre at (i + ½)·full/n.
    rows, columns = (
        (2 * np.arange(n) + 1) * full // (2 * n) for full in values.shape for n in [max(1, round(full * side / longer))]
    )
    return values[np.ix_(rows, columns)]


def check_side(side: int) -> None:
    """Raise a ValueError unless `side` is a number of pixels."""
    if side < 1:
        raise ValueError(f"side is {side}; label maps need at least one pixel, {SIDE} is usual.")


def stored(path: Path) -> NDArray[Any]:
    """The values of a label picture as they are stored, (H,W) or (H,W,C): a palette's indices, not its colours.

    Raises:
        PictureError: it is missing, unreadable, too large, or a JPEG, which blurs the borders of what is labelled.
    """
    if not is_file(path):
        raise PictureError(f"There is no mask or label map at {path}; check the path.")
    try:
        with open_raster(path) as picture:
            if picture.format == "JPEG":
                raise PictureError(f"{path} is a JPEG, in which labels are not exact; save it as PNG.")
            return np.asarray(picture)
    except PictureError:
        raise
    except Exception as error:  # as in mmcam.image.open: Pillow trips in many ways
        raise PictureError(f"{path} cannot be read as a label map ({error}); save it again as PNG.") from error


def read_table(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV with a header, each with its line in the file, cells without blanks around them.

    Raises:
        ValueError: the file is missing, no CSV, lacks one of the `columns`, or a row has too few or too many cells.
    """
    # What spreadsheets save as UTF-8 often begins with a byte order mark.
    reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff")), skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(columns)}, separated "
                "by commas."
            )
        reader.fieldnames = header
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(
                    f"Line {reader.line_num} of {path} does not have {len(header)} cells; write one for each column, "
                    "with quotes around a cell that holds a comma."
                )
            yield reader.line_num, {name: cell.strip() for name, cell in row.items()}
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a CSV after line {reader.line_num} ({error}).") from error


def _upright_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as `load_image` turns it, from its header."""
    try:
        with open_raster(path) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return picture.size[::-1] if turned else picture.size
    except Exception as error:  # as in mmcam.image.open: Pillow trips in many ways
        raise PictureError(f"{path} cannot be read as a picture ({error}); save it again as PNG or JPEG.") from error
