"""A folder that keeps what a job writes, on a disk or in object storage: every file is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmcam.errors import ExplainError
from mmcam.files import write_whole


def remote(path: str) -> bool:
    """Whether a path is a URL of an object storage, as "s3://bucket/photos"."""
    return "://" in path


@contextlib.contextmanager
def sentences(path: str) -> Iterator[Any]:
    """The file system of a URL; what it refuses is told in one sentence.

    Raises:
        ExplainError: no such file system is installed, or it does not answer.
    """
    import fsspec

    try:
        files = fsspec.core.url_to_fs(path)[0]
    except (ImportError, ValueError) as error:
        raise ExplainError(f"{path} cannot be reached ({error}); install the package that it names.") from error
    try:
        yield files
    except (FileNotFoundError, ExplainError):
        raise
    except Exception as error:  # each storage has exceptions of its own, of which none is an OSError for sure
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ExplainError(f"{path} cannot be read or written ({reason}); check its name and your rights.") from error


@dataclass(frozen=True)
class Store:
    """Files by their names below a folder or URL."""

    root: str

    def path(self, name: str) -> str:
        """The whole path of a file."""
        return f"{self.root.rstrip('/')}/{name}" if remote(self.root) else str(Path(self.root) / name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole; one that is there is replaced.

        Raises:
            OSError: the disk is full, for example; what was there stays.
            ExplainError: the object storage refuses it.
        """
        if remote(self.root):
            with sentences(self.path(name)) as files:
                files.pipe_file(self.path(name), content)
            return

        def put(file: IO[bytes]) -> None:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a file may be there under its name and empty once the power was lost

        write_whole(Path(self.path(name)), put)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            if not remote(self.root):
                return Path(self.path(name)).read_bytes()
            with sentences(self.path(name)) as files:
                content: bytes = files.cat_file(self.path(name))
                return content
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder below, sorted; none where there is no such folder."""
        try:
            if not remote(self.root):
                return sorted(entry.name for entry in os.scandir(self.path(folder)) if entry.is_file())
            with sentences(self.path(folder)) as files:
                files.invalidate_cache()  # what others have written meanwhile is to be seen
                return sorted(str(path).rpartition("/")[2] for path in files.ls(self.path(folder), detail=False))
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            if not remote(self.root):
                Path(self.path(name)).unlink()
                return
            with sentences(self.path(name)) as files:
                files.rm_file(self.path(name))
