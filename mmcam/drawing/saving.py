"""Pictures, figures and pages as files: what a suffix writes, and what is said where nothing can be written."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Container, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image

from mmcam.errors import ExplainError
from mmcam.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Writer = Callable[[IO[bytes]], object]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def picture_writers(draw: Callable[[], Image.Image]) -> dict[str, Writer]:
    """What writes a picture, by the suffixes of its formats; it is drawn only then."""

    def write(kind: str, file: IO[bytes]) -> None:
        # In memory first: given a file, Pillow writes a JPEG past Python, and what a full disk takes of the last block
        # it takes for all of it. Half the time of the usual level, for a fifth more bytes: this takes longest.
        buffer = io.BytesIO()
        draw().save(buffer, kind, quality=95, compress_level=3)
        file.write(buffer.getbuffer())

    return {suffix: partial(write, kind) for suffix, kind in _FORMATS.items()}


def figure_writers(draw: Callable[[], Figure]) -> dict[str, Writer]:
    """What writes a figure as vectors, by the suffixes of its formats; it is made only then."""

    def write(kind: str, file: IO[bytes]) -> None:
        from mmcam.drawing.typeset import write_vector

        write_vector(draw(), file, kind)

    return {f".{kind}": partial(write, kind) for kind in ("pdf", "svg")}


def save_as(path: str | os.PathLike[str], writers: Mapping[str, Writer], instead: str) -> Path:
    """Write a file by its suffix, in capitals or not; it appears whole or not at all.

    Args:
        path: its folders are made; a file that is there is replaced.
        writers: what writes the content, by the suffix in small letters.
        instead: which suffixes there are, for the message.

    Raises:
        ExplainError: another suffix, no path, or a place where nothing can be written.
    """
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise ExplainError(f"A file is named by a path, as 'dog.png', and not by a {type(path).__name__}.")
    path = Path(path)
    name = _short(path)
    check_suffix(path, writers, instead)
    writer = writers[path.suffix.lower()]
    if "\0" in str(path):
        raise ExplainError(f"Cannot write {name!r}: a path has no zero bytes.")
    try:
        return write_whole(path, writer)
    except (OSError, UnicodeError) as error:
        problem = (getattr(error, "strerror", None) or str(error))[:200]
        raise ExplainError(f"Cannot write {name!r} ({problem}); name a file in a folder you may write to.") from error


def check_suffix(path: Path, suffixes: Container[str], instead: str) -> None:
    """Raise ExplainError for a file that `save_as` would not write, before what is to be in it costs hours.

    Args:
        path: of the file.
        suffixes: in small letters.
        instead: as in `save_as`.
    """
    if path.suffix.lower() not in suffixes:
        raise ExplainError(f"Cannot write {_short(path)!r}: {instead}.")


def _short(path: Path) -> str:
    return path.name if len(path.name) <= 100 else f"{path.name[:80]}…"
