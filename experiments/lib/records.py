"""Records of long computations: lines of JSON, appended as they are made, so that a stopped run goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """The records of a file, each "picture" once; a line that a stopped run left half is cut off, so that one fits on.

    Of several records of a picture the last one counts. A file that is not there has none.
    """
    if not path.exists():
        return []
    text = path.read_text()
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        path.write_text(complete)
    return list({(record := json.loads(line))["picture"]: record for line in complete.splitlines()}.values())


def add(path: Path, records: Iterable[Record]) -> None:
    """Write records behind those of a file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def checksum(model: nn.Module) -> str:
    """Eight hex digits of all weights of a model: records are those of these weights, and named by them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
