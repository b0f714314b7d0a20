"""One process at a time works on a job; a lock dies with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mmcam.errors import ExplainError
from mmcam.jobs.store import remote

NAME = "job.lock"


@contextlib.contextmanager
def locked(out: str) -> Iterator[None]:
    """Hold the lock of a job's folder, which is made; in object storage there are no locks.

    Raises:
        ExplainError: another process holds it.
        OSError: the folder cannot be made or written.
    """
    if remote(out):
        yield
        return
    import fcntl

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+") as file:  # not handed on to processes that are started from here (PEP 446)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ExplainError(
                f"{out} is being worked on by {holder}; wait for it, or name another place with --out."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
