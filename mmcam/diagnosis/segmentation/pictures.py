"""What is learnt from and what is measured on: labelled pictures of one's own, or PASCAL VOC in its official layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmcam.datasets.captioned import read_text
from mmcam.datasets.concepts.folder import stored
from mmcam.datasets.concepts.voc import CLASSES as VOC
from mmcam.datasets.voc import annotation
from mmcam.diagnosis.labelled import Labelled, LabelledPicture, read_labelled, region
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, is_folder

VOID: Final = 255
"""Pixels that are neither right nor wrong."""

Classes = NDArray[np.uint8]
"""(H, W): 0 for background, n for the n-th class, `VOID` where nothing counts."""


def to_learn(source: str | os.PathLike[str]) -> Labelled:
    """Pictures with labels, as `mmcam.diagnosis.labelled` reads them, or a year's folder of VOC.

    Of VOC those are read that are listed in ``ImageSets/Segmentation/trainaug.txt``, as SEC did, or where this list of
    Hariharan et al. is missing in ``train.txt``; their labels are those of ``Annotations/``.

    Raises:
        ExplainError: no labels; pictures of one class only.
        ValueError: a file of another form.
    """
    root = Path(source)
    lists = root / "ImageSets" / "Segmentation"
    if is_folder(lists):
        named = next(
            (path for path in (lists / "trainaug.txt", lists / "train.txt") if is_file(path)), lists / "train.txt"
        )
        data = Labelled(root, tuple(_of_voc(root, name) for name in read_text(named).split()))
    else:
        data = read_labelled(root)
    if not data.pictures:
        raise ExplainError(f"{root} lists no pictures; get the official files again.")
    if len(data.classes) < 2:
        raise ExplainError(
            f"All {len(data.pictures)} pictures of {root} show {data.classes[0]}; add pictures of another class: what "
            "a class looks like is learnt from those that lack it, too."
        )
    return data


def to_measure(source: str | os.PathLike[str], classes: Sequence[str]) -> list[LabelledPicture]:
    """Pictures with a mask for each of their classes, or those in VOC's ``ImageSets/Segmentation/val.txt``.

    Raises:
        ExplainError: no labels, classes without masks, or classes that were not learnt.
        ValueError: a file of another form.
    """
    root = Path(source)
    lists = root / "ImageSets" / "Segmentation"
    if is_folder(lists):
        return [_of_voc(root, name) for name in read_text(lists / "val.txt").split()]
    pictures = list(read_labelled(root).pictures)
    labels = {label for picture in pictures for label in picture.labels}
    if strange := sorted(labels - set(classes)):
        raise ExplainError(f"{root} has {strange[0]}, which was not learnt; there are {', '.join(classes[:8])}.")
    bare = sorted({label for each in pictures for label in each.labels if label not in each.masks})
    if bare:
        raise ExplainError(
            f"{root} has no mask of {', '.join(bare[:5])} in every picture that shows it; name a mask in the column "
            "mask of each line of a .csv, or leave these pictures out: without it nothing can be measured."
        )
    return pictures


def truth(picture: LabelledPicture, classes: Sequence[str], size: tuple[int, int]) -> Classes:
    """What each pixel shows.

    Args:
        picture: with masks.
        classes: in order.
        size: (width, height) of the picture, upright.

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    if (files := picture.masks.get(_ALL)) is not None:
        return _palette(files[0], classes, size)
    found = np.zeros(size[::-1], np.uint8)
    regions = {label: region(picture, label, size) for label in picture.labels}
    known = {label: mask for label, mask in regions.items() if mask is not None}
    for label, mask in sorted(known.items(), key=lambda item: -int(item[1].sum())):  # what is small lies in front
        found[mask] = 1 + list(classes).index(label)
    return found


_ALL: Final = ""
"""The "label" of a mask that shows all classes, as VOC's do."""


def _of_voc(root: Path, name: str) -> LabelledPicture:
    photo = annotation(root / "Annotations" / f"{name}.xml", root / "JPEGImages" / f"{name}.jpg")
    labels = {thing.name for thing in photo.things}
    masks = {_ALL: (root / "SegmentationClass" / f"{name}.png",)}
    return LabelledPicture(photo.path, tuple(each for each in VOC if each in labels), masks=masks)


def _palette(path: Path, classes: Sequence[str], size: tuple[int, int]) -> Classes:
    """VOC's indices as those of the classes that were learnt; others do not count."""
    values = stored(path)
    if values.ndim != 2 or ((values > len(VOC)) & (values != VOID)).any():
        raise PictureError(f"{path} holds no palette indices of VOC's classes; get the official file again.")
    if values.shape[::-1] != size:
        raise PictureError(f"{path} is {values.shape[1]}×{values.shape[0]}, but its picture is {size[0]}×{size[1]}.")
    renamed = np.full(256, VOID, np.uint8)
    renamed[0] = 0
    for index, name in enumerate(VOC, start=1):
        if name in classes:
            renamed[index] = 1 + list(classes).index(name)
    return np.asarray(renamed[values])
