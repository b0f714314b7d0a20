"""A table of results: on the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmcam.explanation import write_whole


def show(
    path: Path,
    report: Any,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    above: Sequence[str],
    below: Sequence[str] = (),
) -> None:
    """Print the table; write `report` to PATH.json and the table, between lines of text, to PATH.md."""
    table = Table(*head)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
    lines = [*above, "", *("| " + " | ".join(row) + " |" for row in (head, *rows)), *below]
    lines.insert(len(above) + 2, "|---" * len(head) + "|")
    keep(path.with_suffix(".json"), json.dumps(report, indent=1))
    keep(path.with_suffix(".md"), "\n".join(lines) + "\n")


def keep(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))
