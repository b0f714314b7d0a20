"""The command line: explain a picture, say why, try the demo, list layers and methods, dissect, draw vignettes."""

from mmcam.cli import draw, explain, listing, neurons  # noqa: F401 - each adds its commands
from mmcam.cli.shared import app

__all__ = ["app"]


@app.callback()
def main() -> None:
    """Which part of a picture made a model choose a class, say a word, or answer a question."""
