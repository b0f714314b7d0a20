"""A progress bar for long work: on terminals and in notebooks only, and never two at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
_showing = False


def with_progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items one after the other, with a bar on standard error; none for a single item or inside another bar."""
    global _showing
    console = Console(stderr=True)
    if _showing or len(items) < 2 or not (console.is_terminal or console.is_jupyter):
        yield from items
        return
    _showing = True
    try:
        yield from track(items, what, console=console, transient=True)
    finally:
        _showing = False
