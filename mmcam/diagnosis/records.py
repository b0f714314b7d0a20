"""Records of long work: lines of JSON, appended as they are made, so that a run that was stopped goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from mmcam.errors import ExplainError
from mmcam.files import is_file, json_text

Record = dict[str, Any]

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
