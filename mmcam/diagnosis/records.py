"""Records of long work: lines of JSON, appended as they are made, so that a run that was stopped goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, json_text
from mmcam.progress import with_progress

Record = dict[str, Any]
Tell = Callable[[str], object]
Item = TypeVar("Item")

OF = "of"
"""The key of a file's first line, which says what its records are of."""


def kept(path: Path, of: Mapping[str, Any]) -> dict[str, Record]:
    """The records of a run that was stopped, by "picture"; of a new one none, and its file is begun.

    A line that was left half is cut off.

    Args:
        path: of the file; its folder is made.
        of: what the records hang on, as the model's weights and the method: JSON values.

    Raises:
        ExplainError: the file is of other work, or no such file.
    """
    first = json_text({OF: of})
    if not is_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(first + "\n", encoding="utf-8")
        return {}
    try:
        lines = complete(path)
        if lines[:1] == [json.loads(first)]:
            return {line["picture"]: line for line in lines[1:]}
        before = lines[0][OF] if lines else {}
        differs = ", ".join(key for key in of if before.get(key) != json.loads(first)[OF][key])
    except (ValueError, KeyError, TypeError, AttributeError):
        differs = "everything"
    raise ExplainError(
        f"{path} keeps what is done of other work ({differs or 'it was left empty'} differs); name another place with "
        "--out, or remove it to begin anew."
    )


def left(
    items: Sequence[Item], done: Mapping[str, Record], named: Callable[[Item], str], tell: Tell, verb: str = "done"
) -> list[Item]:
    """What is still to be done; of a run that was stopped it is told how much was.

    Args:
        items: all that there is.
        done: records by name.
        named: what the record of an item is called.
        tell: is told.
        verb: what was done to them.
    """
    todo = [item for item in items if named(item) not in done]
    if len(todo) < len(items):
        tell(f"{len(items) - len(todo)} of {len(items)} are {verb} already, {len(todo)} are left.")
    return todo


def path_of(picture: LabelledPicture) -> str:
    """What the record of a picture is called."""
    return str(picture.path)


def one_by_one(
    path: Path,
    of: Mapping[str, Any],
    pictures: Sequence[LabelledPicture],
    record_of: Callable[[LabelledPicture], Record],
    progress: str,
    tell: Tell,
    verb: str = "done",
) -> list[Record]:
    """The record of every picture, kept in a file as it is made; of one that cannot be used {"picture", "skipped"}.

    Args:
        path, of: as in `kept`.
        pictures: in the order of the records.
        record_of: makes a record, whose "picture" is the picture's path.
        progress: what the bar says.
        tell, verb: as in `left`.
    """
    done = kept(path, of)
    for picture in with_progress(left(pictures, done, path_of, tell, verb), progress):
        try:
            record = record_of(picture)
        except PictureError as error:
            record = {"picture": path_of(picture), "skipped": str(error)}
        add(path, [record])
        done[record["picture"]] = record
    return [done[path_of(picture)] for picture in pictures]


def in_chunks(
    path: Path,
    of: Mapping[str, Any],
    items: Sequence[Item],
    named: Callable[[Item], str],
    cases_of: Callable[[Sequence[Item]], Sequence[Sequence[Record]]],
    batch: int,
    progress: str,
    tell: Tell,
) -> list[Record]:
    """The cases of every item, some items at a time; kept in a file as they are made.

    Args:
        path, of: as in `kept`.
        items: in the order of the cases.
        named: what the record of an item is called.
        cases_of: items → of each its cases.
        batch: items at a time.
        progress: what the bar says.
        tell: as in `left`.
    """
    done = kept(path, of)
    todo = left(items, done, named, tell)
    for chunk in with_progress([todo[start : start + batch] for start in range(0, len(todo), batch)], progress):
        lines: list[Record] = [
            {"picture": named(item), "cases": list(cases)} for item, cases in zip(chunk, cases_of(chunk), strict=True)
        ]
        add(path, lines)
        done |= {line["picture"]: line for line in lines}
    return [case for item in items for case in done[named(item)]["cases"]]


def complete(path: Path) -> list[Record]:
    """The lines of a file; one that a stopped run left half is cut off, so that the next fits on."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.decode("utf-8").splitlines()]


def add(path: Path, records: Iterable[Record]) -> None:
    """Write records behind those of a file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def checksum(model: nn.Module) -> str:
    """Eight hex digits of all weights of a model: records are those of these weights, and named by them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
