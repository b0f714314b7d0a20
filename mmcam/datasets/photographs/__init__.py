"""Photographs that come with mmcam, with what their licences ask for: whose they are and how they were changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Photograph:
    """A photograph in a file.

    Attributes:
        path: of the file.
        credit: whose it is, its licence, and what was done to it, as one line.
        classes: what can be seen in it.
        question: one that can be answered by looking at it.
    """

    path: Path
    credit: str
    classes: tuple[str, ...]
    question: str


def shipped() -> Photograph:
    """The photograph of the demo."""
    (name, entry), *_ = json.loads((FOLDER / "credits.json").read_text(encoding="utf-8")).items()
    return Photograph(FOLDER / name, entry["credit"], tuple(entry["classes"]), entry["question"])
