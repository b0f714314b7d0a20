"""The pictures of a study: one's own with labels, or vignettes that are drawn for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mmcam.datasets import vignettes
from mmcam.diagnosis.labelled import LabelledPicture, read_labelled
from mmcam.errors import PictureError
from mmcam.image import load_image

VIGNETTES: Final = "vignettes"
"""In the place of a folder: test vignettes."""
MOST: Final = 3_000
"""Vignettes that are looked at."""
VISIBLE: Final = 0.015
"""The share of a vignette that each of two things covers at least, so that a person could see it."""


def labels_of(source: str) -> tuple[str, ...]:
    """All labels that pictures of a source may have."""
    return tuple(vignettes.KINDS) if source == VIGNETTES else read_labelled(source).classes


def pictures_of(source: str, folder: Path, two: bool) -> Iterator[LabelledPicture]:
    """Pictures that can be opened, one after the other.

    Args:
        source: a folder with a folder for each class, a table (see `mmcam.diagnosis.labelled`), or "vignettes".
        folder: where vignettes are drawn.
        two: only those that show exactly two things, each of another class.

    Raises:
        ExplainError: there are none.
    """
    for picture in _drawn(folder, two) if source == VIGNETTES else read_labelled(source).pictures:
        if two and len(picture.labels) != 2:
            continue
        try:
            load_image(picture.path)
        except PictureError:
            continue
        yield picture


def _drawn(folder: Path, two: bool) -> Iterator[LabelledPicture]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        seed = vignettes.seed("test", number)
        kinds = [thing.kind for thing in vignettes.describe(seed).things]
        if not kinds or (two and (len(kinds) != 2 or kinds[0] == kinds[1])):
            continue
        scene = vignettes.draw(seed)
        if two and any(scene.kind_mask(kind).mean() < VISIBLE for kind in kinds):
            continue
        path = folder / f"{number}.png"
        scene.image.save(path)
        yield LabelledPicture(path, tuple(dict.fromkeys(kinds)))
