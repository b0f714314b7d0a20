"""Run the notebooks and keep what they show.

    python -m experiments.pages.notebooks          # all; eight minutes
    python -m experiments.pages.notebooks 1 4      # those whose names hold one of these

A notebook in which a cell fails stays as it was.
"""

from __future__ import annotations

import time
from typing import Annotated

import nbformat
import typer

from experiments.lib.notebooks import FOLDER, run, small
from mmcam.files import write_all


def main(names: Annotated[list[str] | None, typer.Argument(help="Parts of names; default all.")] = None) -> None:
    """Execute, shrink, write."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and not any(name in path.name for name in names):
            continue
        start = time.perf_counter()
        text = nbformat.writes(small(run(path))) + "\n"
        write_all({path: lambda file, text=text: file.write(text.encode())})  # type: ignore[misc]
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {len(text) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    typer.run(main)
