"""The command line: explain and compare, say why, try the demo, list layers and methods, dissect, draw vignettes."""

import sys
from io import TextIOWrapper

from mmcam.cli import compare, draw, explain, listing, neurons  # noqa: F401 - each adds its commands
from mmcam.cli.shared import app

__all__ = ["app"]


@app.callback()
def main() -> None:
    """Which part of a picture made a model choose a class, say a word, or answer a question."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # the names of some files cannot be written as they are
            stream.reconfigure(errors="backslashreplace")
