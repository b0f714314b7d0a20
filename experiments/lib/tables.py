"""A table of results: on the terminal, and as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.lib.stamp import line_of
from mmcam.files import write_whole

FIGURES: Final = ("value", "standard_error", "low", "high")
"""The parts of a `Mean` or an `Interval` that are figures."""


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
    """Print the table and write it four times.

    PATH.json is the report; PATH.csv its "rows" at full precision, a column a figure; PATH.md and PATH.tex are the
    table as printed, the former between lines of text.
    """
    show_parts(path, report, [Part("", head, rows)], above, below)


def show_parts(
    path: Path, report: Mapping[str, Any], parts: Sequence[Part], above: Sequence[str], below: Sequence[str] = ()
) -> None:
    """The same of a page with several tables."""
    lines = list(above)
    for part in parts:
        table = Table(*part.head, title=part.title or None)
        for row in part.rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        lines += ["", *([part.title, ""] if part.title else [])]
        lines += ["| " + " | ".join(part.head) + " |", "|---" * len(part.head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in part.rows]
    keep(path.with_suffix(".json"), json.dumps(report, indent=1))
    keep(path.with_suffix(".csv"), comma_separated(report["rows"]))
    lines += below
    if "commit" in report:
        lines += ["", line_of(report)]
    keep(path.with_suffix(".md"), "\n".join(lines) + "\n")
    keep(path.with_suffix(".tex"), "\n".join(latex(part.head, part.rows) for part in parts))


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a column for every figure in any of them; "pointing.low" is `low` within `pointing`."""
    flat = [dict(leaves(row)) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def leaves(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The figures of a row by their dotted names; a list stays one entry."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table for ``\input``, with the rules of the booktabs package; what LaTeX cannot take as it is, is escaped."""
    from pylatexenc.latexencode import UnicodeToLatexEncoder
    from tabulate import tabulate

    encode = UnicodeToLatexEncoder(unknown_char_policy="fail").unicode_to_latex
    cells = [[encode(cell) for cell in row] for row in (head, *rows)]
    made = tabulate(cells[1:], cells[0], tablefmt="latex_raw", disable_numparse=True)
    for rule in ("toprule", "midrule", "bottomrule"):
        made = made.replace(r"\hline", rf"\{rule}", 1)
    return f"% needs \\usepackage{{booktabs}}\n{made}\n"


def with_error(figure: Any, scale: float = 1, digits: int = 1) -> str:
    """A figure and what it may be off: "1.5 ± 0.2" with a standard error, "1.5 (1.2–1.7)" with an interval.

    Args:
        figure: a `Mean` or an `Interval` of `mmcam.evaluation`, or one as the dict that JSON keeps. None, or a mean
            over nothing, gives "". One picture alone has no standard error, and none is printed.
        scale: 100 for percent.
        digits: after the point.
    """
    if figure is None:
        return ""
    parts = figure if isinstance(figure, Mapping) else vars(figure)
    if parts.get("n") == 0:
        return ""
    told = {name: f"{scale * part:.{digits}f}" for name, part in parts.items() if name in FIGURES and not isnan(part)}
    if "low" in told:
        return f"{told['value']} ({told['low']}–{told['high']})"
    return " ± ".join(told[name] for name in ("value", "standard_error") if name in told)


def binomial(p: float, n: int) -> dict[str, float]:
    """A share of n with its standard error √(p(1−p)/n), for `with_error`."""
    return {"value": p, "standard_error": sqrt(p * (1 - p) / n)}


def keep(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))
