"""Tables of results for other programs: a report's rows as CSV, the tables of a page as LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.lib.tables import Part


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


def parts_of(page: str) -> list[Part]:
    """The tables of a page in Markdown, without their titles."""
    parts = []
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()]
        parts.append(Part("", head, rows))
    return parts


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
