"""The tables of a job, in parts: a part is of the same pictures however often it is made, and appears whole.

``results/part-000017.parquet`` holds the rows of pictures 17·n to 18·n of the source, in their order, and
``errors/part-000017.parquet``, which is written first, what could not be explained of them. So what is done is told by
the names of the results alone, and a part that was lost half way is made again as it was.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcam.errors import ExplainError
from mmcam.jobs.rows import Row, error_schema, schema
from mmcam.jobs.store import Store, remote

RESULTS, ERRORS = "results", "errors"
_NAME = re.compile(r"part-(\d{6,})\.parquet")
_PICTURES = b"mmcam.pictures"


def name(part: int) -> str:
    """Of a part's files."""
    return f"part-{part:06d}.parquet"


def packed(pictures: int, rows: Sequence[Row], errors: Sequence[Row]) -> tuple[bytes, bytes]:
    """The files of a part, results and errors; b"" for no errors.

    Args:
        pictures: how many it is of, with those that have no row.
        rows, errors: of it.
    """
    wrong = _parquet(errors, error_schema(), pictures) if errors else b""
    return _parquet(rows, schema(), pictures), wrong


def put(store: Store, part: int, results: bytes, errors: bytes) -> None:
    """Write the files of a part, the results last: with them it is done.

    Raises:
        OSError, ExplainError: it cannot be written, and is not there.
    """
    if errors:
        store.write(f"{ERRORS}/{name(part)}", errors)
    else:
        store.remove(f"{ERRORS}/{name(part)}")
    store.write(f"{RESULTS}/{name(part)}", results)


def done_names(store: Store) -> set[int]:
    """The parts that are there by their names."""
    return {int(match[1]) for file in store.names(RESULTS) if (match := _NAME.fullmatch(file))}


def done(store: Store) -> set[int]:
    """The parts that are written whole; what a killed process left half is taken away."""
    found = {part for part in done_names(store) if pictures_in(store, part) is not None}
    for folder in (RESULTS, ERRORS):
        for file in store.names(folder):
            if file.startswith(".part-"):
                store.remove(f"{folder}/{file}")
    return found


def pictures_in(store: Store, part: int) -> int | None:
    """How many pictures a part is of; None where its file is cut off, as by a loss of power."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = store.path(f"{RESULTS}/{name(part)}")
        filesystem, path = located(content)
        metadata: Mapping[bytes, bytes] = pq.read_metadata(path, filesystem=filesystem).metadata or {}
        return int(metadata[_PICTURES]) if _PICTURES in metadata else None
    except (pa.ArrowException, OSError, ValueError):
        return None


@contextlib.contextmanager
def readable(store: Store) -> Iterator[None]:
    """Say of a broken table that it is one, as after a loss of power or a copy that was cut off.

    Raises:
        ExplainError: what is read within is no Parquet, or has other columns.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ExplainError(
            f"A table of the job in {store.root} cannot be read ({error}); remove it, and `mmcam run` makes it again."
        ) from error


def located(path: str) -> tuple[Any, str]:
    """A path or URL as pyarrow takes it: its file system, None for the disk, and the path there."""
    if not remote(path):
        return None, path
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    files, inside = fsspec.core.url_to_fs(path)
    return PyFileSystem(FSSpecHandler(files)), inside


def _parquet(rows: Sequence[Row], columns: Any, pictures: int) -> bytes:
    """A table as the bytes of its file: the same rows are the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.Table.from_pylist([dict(row) for row in rows], schema=columns)
    buffer = io.BytesIO()
    pq.write_table(
        whole.replace_schema_metadata({_PICTURES: str(pictures)}),
        buffer,
        compression="zstd",
        use_dictionary=[field.name for field in columns if field.name not in ("map", "weights")],
    )
    return buffer.getvalue()
