"""The pictures that are named on the command line: files, folders, patterns, and lists of paths."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmcam.errors import ExplainError
from mmcam.files import is_file, is_folder
from mmcam.image.open import SUFFIXES


def pictures_of(named: Iterable[Path]) -> list[Path]:
    """The files that are meant, each once, in the order in which they are named.

    Args:
        named: a file; a folder, for the pictures that lie in it, in the order of their names; a pattern that the shell
            has left as it is, as ``'photos/**/*.jpg'``; ``@FILE`` or ``FILE.txt``, for the paths in it, one a line.

    Raises:
        ExplainError: a folder without a picture, a pattern that fits no file, a list that cannot be read or is empty.
    """
    return list(dict.fromkeys(path for each in named for path in _meant(each)))


def _meant(named: Path) -> Iterable[Path]:
    text = str(named)
    if is_file(named) and named.suffix.lower() != ".txt":
        return [named]
    if text.startswith("@") and len(text) > 1:
        return _listed(Path(text[1:]))
    if named.suffix.lower() == ".txt":
        return _listed(named)
    if is_folder(named):
        inside = sorted(path for path in named.iterdir() if path.suffix.lower() in SUFFIXES and is_file(path))
        if not inside:
            raise ExplainError(f"There is no picture in the folder {named}; name one that holds .png or .jpg files.")
        return inside
    if glob.has_magic(text):
        found = sorted(path for path in map(Path, glob.glob(text, recursive=True)) if is_file(path))  # noqa: PTH207 - it takes no absolute ones
        if not found:
            raise ExplainError(f"No file fits the pattern {text}; check the path.")
        return found
    return [named]  # which is not there, as will be told of it alone


def _listed(file: Path) -> Iterator[Path]:
    """The paths of a list; blank lines and those that begin with # are none."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ExplainError(f"The list of pictures {file} cannot be read ({problem}); check the path.") from error
    paths = [Path(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not paths:
        raise ExplainError(f"The list {file} names no picture; write one path a line.")
    for path in paths:
        beside = file.parent / path
        # As the shell means it, or beside the list.
        yield beside if not is_file(path) and is_file(beside) else path
