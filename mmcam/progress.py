"""A progress bar for long work: on terminals and in notebooks only, and never two at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

Item = TypeVar("Item")
_showing = False

EVERY = 30
"""Seconds between two lines of a `Meter` where there is no terminal."""


def with_progress(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items one after the other, with a bar on standard error; none for a single item or inside another bar."""
    global _showing
    console = Console(stderr=True)
    if _showing or len(items) < 2 or not _shows(console):
        yield from items
        return
    _showing = True
    try:
        yield from track(items, what, console=console, transient=True)
    finally:
        _showing = False


def _shows(console: Console) -> bool:
    """Whether a bar can be shown: on a terminal, and in a notebook that has the widgets rich draws it with."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


class Meter:
    """How much of a long job is done, how fast it goes and when it ends, on standard error.

    On a terminal and in notebooks a bar; elsewhere, as in the log of a cluster, a line every half a minute.

    Args:
        total: things to be done.
        what: is done to them.
    """

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what, self._done = total, what, 0
        self._console = Console(stderr=True)
        self._start = self._told = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Meter:
        global _showing
        if _shows(self._console) and not _showing:
            _showing = True
            rate = TextColumn("{task.fields[rate]}")
            left = TimeRemainingColumn(compact=True)
            self._bar = Progress(
                TextColumn(self._what), BarColumn(), MofNCompleteColumn(), rate, left, console=self._console,
                transient=True,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(self._what, total=self._total, rate="")
        return self

    def __exit__(self, *raised: Any) -> None:
        global _showing
        if self._bar is not None:
            self._bar.stop()
            _showing = False

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        rate = self._done / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=f"{rate:,.1f}/s")
        elif now - self._told >= EVERY:
            self._told = now
            minutes = (self._total - self._done) / rate / 60
            self._console.print(
                f"{self._what}: {self._done:,} of {self._total:,}, {rate:,.1f}/s, {minutes:,.1f} min left",
                highlight=False,
                markup=False,
            )
