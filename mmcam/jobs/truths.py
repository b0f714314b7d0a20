"""A table of one's own that says what the pictures of a job show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmcam.datasets.concepts.folder import read_table
from mmcam.errors import ExplainError
from mmcam.jobs.items import Item, Truth
from mmcam.jobs.sources import Source

FOLDERS = "folders"
_SEVERAL = 3


def with_truth(source: Source, spec: str) -> Source:
    """The same pictures with their classes.

    Args:
        source: without truth of its own.
        spec: "folders", where the first folder of each picture's id is its class; or a CSV in UTF-8 with the columns
            ``picture`` (the id) and ``class``, and, if there is, ``mask``, a file beside the table. A picture may have
            several lines.

    Raises:
        ExplainError: a picture of the table that the source does not have, or none of its pictures in the table; a
            picture that lies in no folder.
        ValueError: the table is missing or of another form.
    """
    if spec == FOLDERS:
        beside = [item.id for item in source.items if "/" not in item.id]
        if beside:
            raise ExplainError(
                f"{beside[0]} lies in no folder of {source.spec}, so it has no class; put the pictures of each class "
                "into a folder of its name, or pass a table."
            )
        each = [replace(item, truth=Truth(classes=(item.id.partition("/")[0],))) for item in source.items]
        return replace(source, items=each)
    return replace(source, items=_of_table(source.items, Path(spec), source.spec))


def _of_table(items: Sequence[Item], table: Path, pictures: str) -> list[Item]:
    lines: dict[str, list[dict[str, str]]] = {}
    for line, row in read_table(table, ("picture", "class")):
        if missing := next((column for column in ("picture", "class") if not row[column]), None):
            raise ExplainError(f"Line {line} of {table} has no {missing}; fill the cell, or remove the line.")
        lines.setdefault(row["picture"], []).append(row)
    strange = [name for name in lines if name not in {item.id for item in items}]
    if strange:
        listed = ", ".join(strange[:_SEVERAL]) + (" …" if len(strange) > _SEVERAL else "")
        raise ExplainError(
            f"{table} names {len(strange)} pictures that are not in {pictures} ({listed}); write the pictures' names "
            f"as they are there, for example {items[0].id}."
        )
    return [replace(item, truth=_truth(lines[item.id], table)) if item.id in lines else item for item in items]


def _truth(rows: Sequence[dict[str, str]], table: Path) -> Truth:
    masks: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if row.get("mask"):
            masks[row["class"]] = (*masks.get(row["class"], ()), str((table.parent / row["mask"]).absolute()))
    return Truth(classes=tuple(dict.fromkeys(row["class"] for row in rows)), masks=masks)
