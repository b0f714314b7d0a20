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
        told: what it shows, in a sentence for those who do not see it.
    """

    path: Path
    credit: str
    classes: tuple[str, ...]
    question: str
    told: str


def photographs() -> list[Photograph]:
    """All of them; the demo's first."""
    listed = json.loads((FOLDER / "credits.json").read_text(encoding="utf-8"))
    return [
        Photograph(FOLDER / name, entry["credit"], tuple(entry["classes"]), entry["question"], entry["told"])
        for name, entry in listed.items()
    ]


def shipped() -> Photograph:
    """The photograph of the demo."""
    return photographs()[0]
