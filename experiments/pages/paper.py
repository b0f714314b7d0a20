"""The paper's experiments in one table: section, command, published figure, measured figures, data.

Every measured figure is looked up in `results/`, where a command wrote it, so that the table in `experiments/README.md`
cannot say anything else.

    python -m experiments.pages.paper            # after the experiments, brings the table up to date
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from experiments.lib.paper_lines import LINES
from experiments.lib.tables import keep

README: Final = Path("experiments/README.md")
BEGIN, END = "<!-- made by python -m experiments.pages.paper -->", "<!-- end -->"
NONE: Final = "–"


def links(names: Sequence[str]) -> str:
    """Links to tables, from the folder of this file."""
    return ", ".join(f"[{name}](results/{name}.md)" for name in names)


def table() -> str:
    """The table as Markdown."""
    head = ("of the paper", "measured", "command", "published", "vignettes", "photographs here", "whole protocol needs")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for line in LINES:
        measured = [NONE if each is None else each() for each in (line.vignettes, line.photographs)]
        what = f"{line.what} ({links(line.tables)})"
        lines.append(
            "| " + " | ".join([line.section, what, f"`{line.command}`", line.published, *measured, line.data]) + " |"
        )
    return "\n".join(lines)


def main(readme: Annotated[Path, typer.Option(help="The file whose table is made anew.")] = README) -> None:
    """Put the table between the two marks of the file."""
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise typer.BadParameter(f"{readme} lacks the marks {BEGIN} and {END}, between which the table goes.")
    keep(readme, f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


if __name__ == "__main__":
    typer.run(main)
