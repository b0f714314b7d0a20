"""Files are written whole or not at all, and JSON holds what JSON may hold."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Write a file beside its place and rename it when it is complete; parent folders are made.

    Raises:
        OSError: it cannot be written there, with the path that was asked for; nothing is left behind.
    """
    return write_all({path: write})[0]


def write_all(files: Mapping[Path, Callable[[IO[bytes]], object]]) -> list[Path]:
    """Write several files that belong together: all are complete before the first one takes its place.

    Raises:
        OSError: as `write_whole`.
    """
    with contextlib.ExitStack() as unfinished:
        written = [(path, _written(path, write, unfinished)) for path, write in files.items()]
        for path, temporary in written:
            with _named(path):
                temporary.replace(path)
    return list(files)


def _written(path: Path, write: Callable[[IO[bytes]], object], unfinished: contextlib.ExitStack) -> Path:
    """The complete file under another name, beside its place; taken away at the end if it still has that name."""
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        temporary = Path(name)
        unfinished.callback(temporary.unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            write(file)
        # mkstemp makes private files; the result gets the rights any new file would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
    return temporary


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of the file system names the file that was asked for, and not a passing one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_file(path: Path) -> bool:
    """Whether there is a file; what no file can be called (too long a name, a null byte) is not there."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; as `is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is not there, or is no JSON in UTF-8.
    """
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON in UTF-8 ({error}); write it anew.") from error


def parsed(text: str) -> Any:
    """The value of a JSON text; NaN and Infinity, which other programs write, are read as such.

    Raises:
        ValueError: it is no JSON, or nested too deeply to read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON; a number that is not finite, which JSON has not, is null.

    What UTF-8 cannot hold, as a file name of other bytes, is escaped.
    """
    text = json.dumps(_without_nan(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
