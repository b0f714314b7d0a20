"""The command line: explain and compare, say why, try the demo, list layers and methods, dissect, draw vignettes.

A command's module is imported when it is run: `mmcam --help` needs neither torch nor the models.
"""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from mmcam.cli.interrupts import keep_interrupts
from mmcam.cli.shared import app
from mmcam.version import __version__

__all__ = ["app"]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmcam {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which part of a picture made a model choose a class, say a word, or answer a question."""
    keep_interrupts()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # the names of some files cannot be written as they are
            stream.reconfigure(errors="backslashreplace")
