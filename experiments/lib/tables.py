"""A table of results: on the terminal, as JSON to compute with and as Markdown to read, with its stamp."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.lib.stamp import line_of
from mmcam.files import write_whole


@dataclass(frozen=True)
class Part:
    """One of several tables on a page; its title stands above it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(
    path: Path,
    report: Mapping[str, Any],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    above: Sequence[str],
    below: Sequence[str] = (),
) -> None:
    """Print a table and write it twice: PATH.json is the report, PATH.md the table as printed, between lines of text.

    Args:
        path: without an ending.
        report: a `experiments.lib.stamp.stamp`, which is told in the page's last line, and the figures: "rows".
        head: names of the columns.
        rows: as many cells each.
        above, below: lines of Markdown.
    """
    show_parts(path, report, [Part("", head, rows)], above, below)


def show_parts(
    path: Path, report: Mapping[str, Any], parts: Sequence[Part], above: Sequence[str], below: Sequence[str] = ()
) -> None:
    """The same of a page with several tables.

    Raises:
        KeyError: the report has no stamp.
    """
    lines = list(above)
    for part in parts:
        table = Table(*part.head, title=part.title or None)
        for row in part.rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        lines += ["", *([part.title, ""] if part.title else [])]
        lines += ["| " + " | ".join(part.head) + " |", "|---" * len(part.head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in part.rows]
    lines += [*below, "", line_of(report)]
    keep(path.with_suffix(".json"), json.dumps(report, indent=1))
    keep(path.with_suffix(".md"), "\n".join(lines) + "\n")


def with_error(figure: Any, scale: float = 1, digits: int = 1, bounds: int | None = None, sign: str = "") -> str:
    """A figure and what it may be off: "1.5 ± 0.2" with a standard error, "1.5 (1.2–1.7)" with an interval.

    Args:
        figure: a `Mean` or an `Interval` of `mmcam.evaluation`, or one as the dict that JSON keeps. None, no value, or
            a mean over nothing, gives "". One picture alone has neither error nor interval, and none is printed.
        scale: 100 for percent.
        digits: after the point.
        bounds: those of an interval's bounds, if others.
        sign: "+" to print that of positive figures, too.
    """
    parts = figure if figure is None or isinstance(figure, Mapping) else vars(figure)
    if parts is None or parts.get("n") == 0 or parts["value"] is None:
        return ""
    value = f"{scale * parts['value']:{sign}.{digits}f}"
    low, high, error = (parts.get(name) for name in ("low", "high", "standard_error"))
    if low is not None and high is not None and not isnan(low):
        places = digits if bounds is None else bounds
        return f"{value} ({scale * low:.{places}f}–{scale * high:.{places}f})"
    return value if error is None or isnan(error) else f"{value} ± {scale * error:.{digits}f}"


def with_count(figure: Any, digits: int = 1) -> str:
    """A mean and its standard error, and of how many maps it is where some are undefined and left out: "0.5 ± 0.1 (9)".

    Args:
        figure: a `Mean`, or None for "".
        digits: after the point.
    """
    if figure is None:
        return ""
    return with_error(figure, digits=digits) + (f" ({figure.n})" if figure.undefined else "")


def signed(interval: Any, digits: int = 2) -> str:
    """A figure that may be negative, with its sign and its interval: "+1.00 (+0.80 to +1.20)"; "–" for None.

    Args:
        interval: an `Interval` of `mmcam.evaluation`, or one as the dict that JSON keeps.
        digits: after the point.
    """
    if interval is None:
        return "–"
    parts = interval if isinstance(interval, Mapping) else vars(interval)
    low, high = (f"{parts[name]:+.{digits}f}" for name in ("low", "high"))
    bounds = "" if isnan(parts["low"]) else f" ({low} to {high})"
    return f"{parts['value']:+.{digits}f}{bounds}".replace("-", "−")


def binomial(p: float, n: int) -> dict[str, float]:
    """A share of n with its standard error √(p(1−p)/n), for `with_error`."""
    return {"value": p, "standard_error": sqrt(p * (1 - p) / n)}


def keep(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))
