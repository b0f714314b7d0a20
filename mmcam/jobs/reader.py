"""What a job wrote, read lazily: as a table, or as the explanations that it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmcam.errors import ExplainError, PictureError
from mmcam.explanation import Explanations
from mmcam.jobs import manifest, shards
from mmcam.jobs.decode import picture_at
from mmcam.jobs.rows import Result, Row, error_schema, results_of, schema
from mmcam.jobs.run import check_arrow
from mmcam.jobs.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset
    from pandas import DataFrame

_SEVERAL = 3
_FLAT = {
    "peak.x": "x", "peak.y": "y", "box.left": "left", "box.top": "top", "box.right": "right", "box.bottom": "bottom",
}  # fmt: skip


def open(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Job:
    """The results of a job, finished or not.

    Args:
        path: its folder or URL.
        root: where its pictures are now, if they were moved.

    Raises:
        ExplainError: there is no job.
    """
    check_arrow()
    store = Store(os.fspath(path))
    found = manifest.read(store)
    if found is None:
        raise ExplainError(f"{path} holds no job, which has a {manifest.NAME}; `mmcam run` writes one.")
    return Job(store, found, str(found["about"].get("root", "")) if root is None else os.fspath(root))


class Job:
    """The results of a job.

    ``job[id]`` are the explanations of a picture, iteration goes through all of them; the pictures themselves are
    opened where they were. ``job.dataset`` is pyarrow's, which reads what is asked for and no more; DuckDB reads
    ``job.pattern``.

    Attributes:
        manifest: what the job is of.
        root: where the pictures are.
    """

    def __init__(self, store: Store, found: manifest.Manifest, root: str) -> None:
        self._store, self.manifest, self.root = store, found, root

    @property
    def dataset(self) -> pyarrow.dataset.Dataset:
        """A row an explanation, the words of a caption one each; columns as `mmcam.jobs.rows.schema` has them."""
        return self._tables(shards.RESULTS, schema())

    @property
    def pattern(self) -> str:
        """The files of the results, as DuckDB and others name them."""
        return self._store.path(f"{shards.RESULTS}/*.parquet")

    def errors(self) -> DataFrame:
        """What could not be explained: "id", "picture", "method", "asked", "error"; a row each."""
        with shards.readable(self._store):
            return self._tables(shards.ERRORS, error_schema()).to_table().to_pandas()

    def to_pandas(self, columns: Sequence[str] | None = None, filter: Any = None) -> DataFrame:
        """The table, or some columns of it; "peak" is told as "x" and "y", "box" as "left", "top", "right", "bottom".

        Args:
            columns: by name; default all but the maps, weights and geometries, which take most of the room.
            filter: of pyarrow: ``pyarrow.dataset.field("score") > 3``.

        Raises:
            ExplainError: there is no such column.
        """
        known = schema().names
        wanted = [name for name in known if name not in ("map", "map_shape", "map_scale", "geometry", "weights")]
        if columns is not None:
            wanted = list(columns)
            if strange := [name for name in wanted if name not in known]:
                raise ExplainError(f"The results have no column {strange[0]!r}; they have {', '.join(known)}.")
        with shards.readable(self._store):
            frame = _flat(self.dataset.to_table(columns=wanted, filter=filter)).to_pandas()
        whole = [name for name in ("asked", "position", *_FLAT.values()) if name in frame]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def joined(self, truth: DataFrame | str | os.PathLike[str], on: str = "id") -> DataFrame:
        """The table beside a table of one's own.

        Args:
            truth: a DataFrame, or a CSV file.
            on: the column of it that holds the ids of the pictures.

        Raises:
            ExplainError: it has no such column, or names pictures that the job has not.
        """
        import pandas

        beside = truth if isinstance(truth, pandas.DataFrame) else pandas.read_csv(os.fspath(truth), dtype={on: str})
        if on not in beside:
            raise ExplainError(f"The table has no column {on!r}; it has {', '.join(map(str, beside))}.")
        mine = self.to_pandas()
        known = {*mine["id"], *self.errors()["id"]}
        if strange := [str(name) for name in beside[on] if name not in known]:
            raise ExplainError(
                f"The table names {len(strange)} pictures that are not in the job ({', '.join(strange[:_SEVERAL])}); "
                "write their ids as the job does."
            )
        return mine.merge(beside.rename(columns={on: "id"}), on="id", how="left", suffixes=("", "_given"))

    def __len__(self) -> int:
        """Rows."""
        with shards.readable(self._store):
            return int(self.dataset.count_rows())

    def __getitem__(self, id: str) -> Explanations[Result]:
        """The results of a picture: of every method and target one, in the order in which they were asked for.

        Raises:
            ExplainError: the job has no such picture; or why it could not be explained.
            PictureError: the picture itself is not there any more.
        """
        import pyarrow.dataset as ds

        with shards.readable(self._store):
            rows = self.dataset.to_table(filter=ds.field("id") == id).to_pylist()
        if rows:
            return self._explanations(rows)
        with shards.readable(self._store):
            failed = self._tables(shards.ERRORS, error_schema()).to_table(filter=ds.field("id") == id).to_pylist()
            some = self.dataset.head(_SEVERAL, columns=["id"])["id"].to_pylist()
        if failed:
            raise ExplainError(f"{id} was not explained: {failed[0]['error']}")
        raise ExplainError(f"The job has no picture {id!r}; its ids are like {', '.join(dict.fromkeys(some))}.")

    def __iter__(self) -> Iterator[Result]:
        """All results, a picture after the other."""
        for _, results in self.items():
            yield from results

    def items(self) -> Iterator[tuple[str, Explanations[Result]]]:
        """Every picture that was explained, with its results, a part in memory at a time."""
        for part in sorted(shards.done_names(self._store)):
            own: list[Row] = []
            for row in self._read(part):
                if own and own[0]["id"] != row["id"]:
                    yield own[0]["id"], self._explanations(own)
                    own = []
                own.append(row)
            if own:
                yield own[0]["id"], self._explanations(own)

    def _explanations(self, rows: Sequence[Row]) -> Explanations[Result]:
        try:
            return Explanations(results_of(rows, picture_at(self.root, rows[0]["picture"])))
        except PictureError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
            raise ExplainError(
                f"The rows of {rows[0]['id']} in {self._store.root} are of no explanation ({error}); make the job anew."
            ) from error

    def _read(self, part: int) -> list[Row]:
        import pyarrow.parquet as pq

        filesystem, path = shards.located(self._store.path(f"{shards.RESULTS}/{shards.name(part)}"))
        with shards.readable(self._store):
            rows: list[Row] = pq.read_table(path, filesystem=filesystem, schema=schema()).to_pylist()
            return rows

    def _tables(self, folder: str, columns: pa.Schema) -> pyarrow.dataset.Dataset:
        import pyarrow.dataset as ds

        # Of a part that was not finished there may be errors already.
        finished = {shards.name(part) for part in shards.done_names(self._store)}
        parts = [file for file in self._store.names(folder) if file in finished]
        if not parts:
            return ds.dataset(columns.empty_table())
        filesystem, base = shards.located(self._store.path(folder))
        return ds.dataset([f"{base}/{file}" for file in parts], schema=columns, format="parquet", filesystem=filesystem)


def _flat(table: pa.Table) -> pa.Table:
    """A table whose peaks and boxes are plain columns."""
    for name in ("peak", "box"):
        if name in table.column_names:
            at = table.column_names.index(name)
            parts = table.select([name]).flatten()
            table = table.remove_column(at)
            for number, part in enumerate(parts.column_names):
                table = table.add_column(at + number, _FLAT[part], parts[part])
    return table
