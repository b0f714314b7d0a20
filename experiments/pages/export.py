"""Tables of results for a spreadsheet or for LaTeX, made of the committed .json and .md.

python -m experiments.pages.export                              # every table as CSV under out/tables/
python -m experiments.pages.export --format tex seeds models    # two of them, for \\input
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pylatexenc.latexencode import UnicodeToLatexEncoder
from tabulate import tabulate

from experiments.lib.tables import keep

RESULTS: Final = Path("experiments/results")


class Format(StrEnum):
    """What to make: CSV has every figure at full precision, LaTeX the table as it is printed."""

    csv = "csv"
    tex = "tex"


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Of tables, without ending; default all.")] = None,
    format: Annotated[Format, typer.Option(help="csv: all figures; tex: the table as printed.")] = Format.csv,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("out/tables"),
) -> None:
    """Write OUT/NAME.csv or OUT/NAME.tex for tables of experiments/results."""
    for name in names or sorted(path.stem for path in RESULTS.glob("*.json")):
        source = RESULTS / f"{name}.json"
        if not source.exists():
            raise typer.BadParameter(f"There is no table {name!r}; see the .json files in {RESULTS}.")
        if format == Format.csv:
            text = comma_separated(json.loads(source.read_text())["rows"])
        else:
            text = "\n".join(latex(*table) for table in tables(source.with_suffix(".md").read_text()))
        keep(out / f"{name}.{format}", text)
        print(out / f"{name}.{format}")


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


def tables(page: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Head and rows of every table on a page of Markdown, in order."""
    lines: list[str] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith("| ") or (lines and line.startswith("|-")):
            lines.append(line)
        elif lines:
            head, _, *rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
            yield head, rows
            lines = []


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table for ``\input``, with the rules of the booktabs package; what LaTeX cannot take as it is, is escaped."""
    encode = UnicodeToLatexEncoder(unknown_char_policy="fail").unicode_to_latex
    cells = [[encode(cell) for cell in row] for row in (head, *rows)]
    made = tabulate(cells[1:], cells[0], tablefmt="latex_raw", disable_numparse=True)
    for rule in ("toprule", "midrule", "bottomrule"):
        made = made.replace(r"\hline", rf"\{rule}", 1)
    return f"% needs \\usepackage{{booktabs}}\n{made}\n"


if __name__ == "__main__":
    typer.run(main)
