"""Records of long computations, a line of JSON a picture (see `mmcam.diagnosis.records`)."""

from __future__ import annotations

from pathlib import Path

from mmcam.diagnosis.records import Record, add, checksum, complete

__all__ = ["Record", "add", "checksum", "read"]


def read(path: Path) -> list[Record]:
    """The records of a file, each "picture" once; of several of a picture the last one counts.

    A file that is not there has none.
    """
    return list({record["picture"]: record for record in complete(path)}.values()) if path.exists() else []
