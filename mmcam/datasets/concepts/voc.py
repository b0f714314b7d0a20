"""Reader of PASCAL VOC's segmented photographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mmcam.datasets.captioned import read_text
from mmcam.datasets.concepts import Concept, Labels
from mmcam.datasets.concepts.folder import SIDE, check_side, reduced, stored
from mmcam.errors import PictureError
from mmcam.image import load_image

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's twenty classes; index 1 of a palette is the first."""

_SPLITS = ("train", "val", "trainval")
_VOID = 255  # the borders of things, and what was too hard to label


class VocConcepts:
    """The photographs of PASCAL VOC that are segmented: 2,913 in VOC2012, with twenty concepts of category "object".

    Args:
        root: a year's folder, as ``VOCdevkit/VOC2012``. Holds ``ImageSets/Segmentation/{train,val,trainval}.txt``,
            ``JPEGImages/*.jpg`` and ``SegmentationClass/*.png``.
        split: the list of pictures: "train", "val" or "trainval".
        side: pixels of a label map's longer side at most; larger ones are reduced to it (nearest).

    Raises:
        ValueError: the split is unknown, its list is missing or empty, or `side` is not positive.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010; the development kit of VOC2012.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "val", "trainval"] = "trainval",
        side: int = SIDE,
    ) -> None:
        check_side(side)
        if split not in _SPLITS:
            raise ValueError(f"VOC has no split {split!r} with segmentations; choose one of {', '.join(_SPLITS)}.")
        self._root, self._side = Path(root), side
        self.name = f"PASCAL VOC ({self._root.absolute().name}, {split}, labels of {side} px)"
        self.concepts: Sequence[Concept] = tuple(Concept(name, "object") for name in CLASSES)
        names = self._root / "ImageSets" / "Segmentation" / f"{split}.txt"
        self._names = read_text(names).split()
        if not self._names:
            raise ValueError(f"{names} lists no pictures; get the official file again.")

    def __len__(self) -> int:
        return len(self._names)

    def picture(self, index: int) -> Image.Image:
        """A picture as RGB.

        Raises:
            PictureError: it cannot be read.
        """
        return load_image(self._root / "JPEGImages" / f"{self._names[index]}.jpg")

    def labels(self, index: int) -> list[Labels]:
        """One label map; what VOC leaves open (255) shows nothing.

        Raises:
            PictureError: it cannot be read, or is no palette PNG with VOC's indices.
        """
        path = self._root / "SegmentationClass" / f"{self._names[index]}.png"
        values = stored(path)
        if values.ndim != 2:
            raise PictureError(f"{path} holds colours, not VOC's palette indices; get the official file again.")
        if ((values > len(CLASSES)) & (values != _VOID)).any():
            raise PictureError(
                f"{path} has indices above {len(CLASSES)} other than {_VOID}; get the official file again."
            )
        small = reduced(values, self._side)
        return [np.where(small == _VOID, 0, small).astype(np.int32)]
