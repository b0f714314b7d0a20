"""Pictures and the tables that name them, as a user's own would be; each file is written whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mmcam.files import write_whole


def save_png(path: Path, image: Image.Image) -> None:
    """Write a picture."""
    write_whole(path, lambda file: image.save(file, "PNG"))


def write_table(path: Path, head: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a CSV; a cell that a row does not have is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, head)
    writer.writeheader()
    writer.writerows(rows)
    return write_whole(path, lambda file: file.write(text.getvalue().encode()))
