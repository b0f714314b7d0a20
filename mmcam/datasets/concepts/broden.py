"""Reader of Broden, the broadly and densely labelled pictures that Network Dissection was made with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.datasets.concepts import Concept, Labels
from mmcam.datasets.concepts.folder import read_table, stored
from mmcam.errors import PictureError
from mmcam.files import is_folder
from mmcam.image import load_image

_CODES = 1 << 16  # what red + 256 · green can say


@dataclass(frozen=True)
class _Row:
    """A picture of the index: numbers of what all of it shows, names of its label maps and their (height, width)."""

    image: str
    whole: tuple[int, ...]
    maps: tuple[str, ...]
    shape: tuple[int, int]


class BrodenConcepts:
    """Broden as its authors distribute it: 63,305 pictures, 1,197 concepts of six categories.

    Concepts are those of ``label.csv``, in the order of their numbers, with Broden's own names: scenes end in "-s" and
    colours in "-c". A concept may be labelled under several categories; it counts for its primary one, of which it
    covers the most ("coverage" in ``c_<category>.csv``).

    Args:
        root: ``broden1_224``, ``broden1_227`` or ``broden1_384``. Holds ``index.csv``, ``label.csv``, ``category.csv``,
            a ``c_<category>.csv`` for each category, and ``images/``.
        split: "train" or "val"; None takes all pictures.

    Raises:
        ValueError: the split is unknown or empty, a file is missing or of another form, or a number in the index is not
            in ``label.csv``.

    Source: Bau et al., Network Dissection, arXiv 1704.05796; github.com/CSAILVision/NetDissect: src/joinseg.py (the
        layout), src/loadseg.py.
    """

    def __init__(self, root: str | os.PathLike[str], split: Literal["train", "val"] | None = None) -> None:
        if split not in ("train", "val", None):
            raise ValueError(f"Broden has no split {split!r}; choose 'train', 'val' or None for all.")
        self._root = Path(root)
        if not is_folder(self._root / "images"):
            raise ValueError(f"{self._root} has no folder images; point to Broden's own folder, as broden1_224.")
        self.name = f"Broden ({self._root.absolute().name}{f', {split}' if split else ''})"
        categories = [row["name"] for _, row in read_table(self._root / "category.csv", ("name",))]
        names = self._names()
        primary = self._primary(categories)
        lost = next((number for number in names if number not in primary), None)
        if lost is not None:
            raise ValueError(f"No c_<category>.csv of {self._root} has label {lost}; get the official files again.")
        self.concepts: Sequence[Concept] = tuple(Concept(name, primary[number]) for number, name in names.items())
        # By Broden's number the concept's, from 1: Broden's may have gaps. -1 is no number of Broden's.
        self._numbers = np.full(_CODES, -1, np.int32)
        self._numbers[[0, *names]] = range(len(names) + 1)
        self._rows = self._index(categories, split)

    def __len__(self) -> int:
        return len(self._rows)

    def picture(self, index: int) -> Image.Image:
        """A picture as RGB.

        Raises:
            PictureError: it cannot be read.
        """
        return load_image(self._root / "images" / self._rows[index].image)

    def labels(self, index: int) -> list[Labels]:
        """Numbers of what the whole picture shows, then label maps, at half the picture's size in the official files.

        Where two maps give a pixel the same concept, only the first has it, so that no pixel counts twice.

        Raises:
            PictureError: a label map cannot be read, or has another size or other numbers than the index and
                ``label.csv`` say.
        """
        row = self._rows[index]
        layers: list[Labels] = list(row.whole)
        for name in row.maps:
            new = self._map(self._root / "images" / name, row.shape)
            for earlier in layers:
                new[new == earlier] = 0
            layers.append(new)
        return layers

    def _map(self, path: Path, shape: tuple[int, int]) -> NDArray[np.int32]:
        values = stored(path)
        if values.ndim != 3 or values.shape[2] < 3 or values.dtype != np.uint8:
            raise PictureError(f"{path} is not stored as RGB, as Broden's label maps are; get the official file again.")
        if values.shape[:2] != shape:
            raise PictureError(
                f"{path} is {values.shape[1]}×{values.shape[0]}, but index.csv says {shape[1]}×{shape[0]}; get the "
                "official file again."
            )
        numbers = self._numbers[values[:, :, 0] + 256 * values[:, :, 1].astype(np.int32)]
        if numbers.min() < 0:
            raise PictureError(f"{path} holds numbers that label.csv does not list; get the official files again.")
        return numbers

    def _names(self) -> dict[int, str]:
        """Names by number, in the order of the numbers; 0 is the background and no concept."""
        path = self._root / "label.csv"
        names = {_number(path, line, row, "number"): row["name"] for line, row in read_table(path, ("number", "name"))}
        if not names or max(names) >= _CODES:
            raise ValueError(f"{path} lists no labels, or numbers of {_CODES} and more; get the official file again.")
        return {number: names[number] for number in sorted(names) if number > 0}

    def _primary(self, categories: Sequence[str]) -> dict[int, str]:
        """By number, the category it covers most of; of equals, the one that ``category.csv`` names last."""
        best: dict[int, tuple[float, int]] = {}
        for place, category in enumerate(categories):
            path = self._root / f"c_{category}.csv"
            for line, row in read_table(path, ("number", "coverage")):
                number = _number(path, line, row, "number")
                try:
                    coverage = float(row["coverage"])
                except ValueError as error:
                    raise ValueError(f"Line {line} of {path}: {row['coverage']!r} is no coverage.") from error
                best[number] = max(best.get(number, (0.0, -1)), (coverage, place))
        return {number: categories[place] for number, (_, place) in best.items()}

    def _index(self, categories: Sequence[str], split: str | None) -> list[_Row]:
        path, rows = self._root / "index.csv", []
        for line, row in read_table(path, ("image", "split", "sh", "sw", *categories)):
            if split is not None and row["split"] != split:
                continue
            cells = [cell for category in categories for cell in row[category].split(";") if cell]
            # A 0 stands for what was labelled with something too rare to be a concept.
            whole = dict.fromkeys(int(cell) for cell in cells if cell.isdecimal() and int(cell))
            unknown = next((number for number in whole if number >= _CODES or self._numbers[number] < 0), None)
            if unknown is not None:
                raise ValueError(f"Line {line} of {path} has {unknown}, a number that label.csv does not list.")
            numbers = tuple(int(self._numbers[number]) for number in whole)
            maps = tuple(cell for cell in cells if not cell.isdecimal())
            shape = _number(path, line, row, "sh"), _number(path, line, row, "sw")
            rows.append(_Row(row["image"], numbers, maps, shape))
        if not rows:
            raise ValueError(f"{path} lists no pictures{f' of split {split!r}' if split else ''}.")
        return rows


def _number(path: Path, line: int, row: dict[str, str], column: str) -> int:
    if not row[column].isdecimal():
        raise ValueError(f"Line {line} of {path}: the {column} is {row[column]!r}; it has to be a whole number.")
    return int(row[column])
