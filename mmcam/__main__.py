"""``python -m mmcam``: the command line."""

from mmcam.cli import app

app()
