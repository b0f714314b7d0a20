"""Tables of results for a spreadsheet or for LaTeX, made of the committed .json and .md.

python -m experiments.pages.export                              # every table as CSV under out/tables/
python -m experiments.pages.export --format tex seeds models    # two of them, for \\input
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from experiments.lib.export import comma_separated, latex, parts_of
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
            text = "\n".join(latex(part.head, part.rows) for part in parts_of(source.with_suffix(".md").read_text()))
        keep(out / f"{name}.{format}", text)
        print(out / f"{name}.{format}")


if __name__ == "__main__":
    typer.run(main)
