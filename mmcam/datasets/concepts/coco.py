"""Reader of COCO's instances as concepts."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmcam.datasets.captioned import brief, read_text, shown, text_of
from mmcam.datasets.concepts import Concept, Labels
from mmcam.datasets.concepts.folder import SIDE, Mask, check_side, reduced, stacked
from mmcam.errors import PictureError
from mmcam.files import is_folder, parsed
from mmcam.image import MAX_PIXELS, load_image


@dataclass(frozen=True)
class _Photograph:
    """An entry of "images", and what is in it: the number of a concept and a segmentation as the file has it."""

    file: str
    width: int
    height: int
    regions: list[tuple[int, Any]] = field(default_factory=list)


class CocoConcepts:
    """Photographs with the masks of COCO's things: eighty concepts of category "object", in the order of the file.

    All instances of a category in a picture are one mask, crowds included. Needs pycocotools, the extra ``coco``.

    Args:
        instances: ``instances_val2014.json``, ``instances_train2017.json`` or another file of this form: lists "images"
            ("id", "file_name", "width", "height"), "annotations" ("image_id", "category_id", "segmentation" as polygons
            or as run lengths) and "categories" ("id", "name").
        pictures: the folder with the pictures, as ``coco/val2014``.
        side: pixels of a label map's longer side at most; larger masks are reduced to it (nearest).

    Raises:
        ImportError: pycocotools is missing.
        ValueError: the file is missing or of another form, an annotation belongs to no picture or category of it, there
            is no such folder, or `side` is not positive.

    Source: Lin et al., Microsoft COCO, arXiv 1405.0312; cocodataset.org, "Data format".
    """

    def __init__(self, instances: str | os.PathLike[str], pictures: str | os.PathLike[str], side: int = SIDE) -> None:
        check_side(side)
        file, self._pictures, self._side = Path(instances), Path(pictures), side
        try:
            importlib.import_module("pycocotools.mask")
        except ImportError as error:
            raise ImportError("COCO's masks need pycocotools; install it with pip install 'mmcam[coco]'.") from error
        if not is_folder(self._pictures):
            raise ValueError(f"{self._pictures} is no folder; point to the one with COCO's pictures, as coco/val2014.")
        self.name = f"COCO ({file.name}, labels of {side} px)"
        text = read_text(file)
        try:
            table = parsed(text)
            numbers = {int(entry["id"]): number for number, entry in enumerate(table["categories"], start=1)}
            self.concepts: Sequence[Concept] = tuple(
                Concept(text_of(entry["name"]), "object") for entry in table["categories"]
            )
            photographs = {
                int(entry["id"]): _Photograph(text_of(entry["file_name"]), *_size(entry["width"], entry["height"]))
                for entry in table["images"]
            }
            regions = [
                (int(entry["image_id"]), int(entry["category_id"]), entry["segmentation"])
                for entry in table["annotations"]
            ]
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"{file} is not one of COCO's instances files ({brief(error)}).") from error
        for picture, category, segmentation in regions:
            if picture not in photographs or category not in numbers:
                raise ValueError(
                    f"An annotation of {file} has picture {shown(picture)} and category {shown(category)}, which it "
                    "does not both list; get the official file again."
                )
            photographs[picture].regions.append((numbers[category], segmentation))
        self._photographs = list(photographs.values())

    def __len__(self) -> int:
        return len(self._photographs)

    def picture(self, index: int) -> Image.Image:
        """A picture as RGB.

        Raises:
            PictureError: it cannot be read, or is not as large as the file says, so that masks would lie elsewhere.
        """
        photograph = self._photographs[index]
        picture = load_image(self._pictures / photograph.file)
        if picture.size != (photograph.width, photograph.height):
            raise PictureError(
                f"{self._pictures / photograph.file} is {picture.width}×{picture.height} when upright, but its masks "
                f"are {photograph.width}×{photograph.height}; use the official picture."
            )
        return picture

    def labels(self, index: int) -> list[Labels]:
        """One label map, more where categories overlap, none where nothing is annotated.

        Raises:
            PictureError: a segmentation is broken.
        """
        photograph = self._photographs[index]
        masks: dict[int, Mask] = {}
        for number, segmentation in photograph.regions:
            try:
                mask = reduced(region(segmentation, photograph.height, photograph.width), self._side)
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
                raise PictureError(
                    f"A segmentation of {photograph.file} is broken ({brief(error)}); get the official file again."
                ) from error
            masks[number] = masks[number] | mask if number in masks else mask
        return stacked(masks)


def region(segmentation: Any, height: int, width: int) -> Mask:
    """The pixels (height, width) of one annotation of COCO's: polygons, or run lengths.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, OverflowError: it is of another form.
    """
    if isinstance(segmentation, list):
        # Two points enclose nothing, and four numbers would be taken for a box.
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        # pycocotools checks nothing: what lies far outside would exhaust the memory.
        longer = max(height, width)
        if not all(-longer <= value <= 2 * longer for polygon in polygons for value in polygon):
            raise ValueError("a polygon lies far outside the picture")
        if not polygons:
            return np.zeros((height, width), bool)
        masks = importlib.import_module("pycocotools.mask")
        mask: Mask = masks.decode(masks.frPyObjects(polygons, height, width)).any(axis=2)
        return mask
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if list(segmentation["size"]) != [height, width] or min(counts) < 0 or sum(counts) != height * width:
        raise ValueError("its run lengths do not cover the picture")
    # Runs go down the columns and begin outside.
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def _size(width: Any, height: Any) -> tuple[int, int]:
    """A picture's (width, height).

    Raises:
        ValueError: no picture is as large, or has none of one.
    """
    size = int(width), int(height)
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"a picture of {str(width)[:20]}×{str(height)[:20]} pixels")
    return size


def _unpacked(text: str) -> list[int]:
    """The run lengths that pycocotools packed into text.

    Each is a number of five bits a character, the lowest first, with a sixth for "more follows" and the last one's
    fifth for the sign; from the fourth on it is the difference from the one before the last. Read here as pycocotools
    writes past the end of a mask if the text is damaged.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"its run lengths have the character {character!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
