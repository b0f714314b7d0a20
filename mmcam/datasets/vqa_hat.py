"""Reader of VQA-HAT: where people looked to answer VQA's questions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.files import is_folder
from mmcam.image import open_raster

_NAME = re.compile(r"(\d+)_([1-9]\d*)\.png")
_DEPTHS = {"L": 255, "I;16": 65535, "I;16B": 65535, "I": 65535}
"""Pillow's modes of a grey PNG of 8 and of 16 bits, and what is white in each."""


def attention_files(folder: Path) -> dict[int, tuple[Path, ...]]:
    """The files of each question, one a person, in the order of the people's numbers.

    Args:
        folder: ``vqahat_val`` (up to three people a question) or ``vqahat_train`` (one), with files named
            ``{question_id}_{person}.png``; others in it are passed over. The ids are those of VQA **version 1**:
            version 2 numbers its questions otherwise, so that an id of it may be that of another question here.

    Raises:
        ValueError: there is no such folder, or no map in it.

    Source: Das et al., Human Attention in Visual Question Answering, arXiv 1606.03556; the authors' VQA-HAT 1.0.
    """
    if not is_folder(folder):
        raise ValueError(f"{folder} is missing; put VQA-HAT's folder there (data/README.md).")
    found: dict[int, dict[int, Path]] = {}
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[int(match[2])] = path
    if not found:
        raise ValueError(f"{folder} holds no map such as 1500073_1.png; unpack VQA-HAT's own files there.")
    return {question: tuple(own[person] for person in sorted(own)) for question, own in sorted(found.items())}


def attention_maps(folder: Path, question: int) -> list[NDArray[np.float32]]:
    """The attention maps of a question, one a person, who are kept apart.

    Args:
        folder: as in `attention_files`.
        question: its id in VQA version 1.

    Returns:
        One (H, W) float32 a person, 0 (not looked at) to 1, over the whole picture, at the size of its file. Somebody
        who uncovered nothing leaves a black map, which is given as it is: all 0, without ranks to compare.

    Raises:
        ValueError: there is no such folder or no map of this question in it, or a file is unreadable or not grey.
    """
    files = attention_files(folder)
    if question not in files:
        raise ValueError(
            f"{folder} has no map of question {question}; VQA-HAT covers a part of VQA version 1, and version 2 has "
            "other ids."
        )
    return [read_map(path) for path in files[question]]


def read_map(path: Path) -> NDArray[np.float32]:
    """One person's map (H, W), 0 to 1.

    Raises:
        ValueError: the file is missing, unreadable or not grey.
    """
    try:
        with open_raster(path) as picture:
            picture.load()
            grey = _grey(picture)
    except Exception as error:  # as in mmcam.image.open: Pillow trips in many ways
        raise ValueError(f"{path} cannot be read as a picture ({error}); get the official file again.") from error
    if grey is None:
        raise ValueError(f"{path} is not grey (its mode is {picture.mode}); a map of VQA-HAT has one channel.")
    return grey


def _grey(picture: Image.Image) -> NDArray[np.float32] | None:
    """The values of a grey picture, 0 to 1; three channels are grey where they are equal. None for a coloured one."""
    if picture.mode in _DEPTHS:
        return np.asarray(picture).astype(np.float32) / np.float32(_DEPTHS[picture.mode])
    if picture.mode != "RGB":
        return None
    red, green, blue = np.moveaxis(np.asarray(picture), 2, 0)
    if not ((red == green) & (green == blue)).all():
        return None
    grey: NDArray[np.float32] = red.astype(np.float32) / np.float32(255)
    return grey
