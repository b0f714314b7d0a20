"""Buildings as files: a folder a condition, masks beside them, and a table of what is of which building."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from mmcam.datasets.buildings.house import SOUND
from mmcam.datasets.buildings.photograph import photograph
from mmcam.errors import ExplainError
from mmcam.files import write_whole


def export(out: Path, buildings: int = 240, views: int = 2, seed: int = 0) -> Path:
    """Write pictures, masks and a table.

    Args:
        out: a folder that is not there yet. In it are ``pictures/CONDITION/house-0007-1.png``; for what is damaged,
            ``masks/CONDITION/house-0007-1.png``, white where the damage is seen; and ``pictures/labels.csv`` with the
            columns file, class and group, which is the building.
        buildings, views: how many, and of each how many views.
        seed: of the world.

    Returns:
        The folder of the pictures.

    Raises:
        ExplainError: the folder is there already.
    """
    if out.exists():
        raise ExplainError(f"{out} is there already; name another place, or remove it first.")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "class", "group"))
    for building in range(buildings):
        for view in range(views):
            shown = photograph(building, view, seed)
            file = f"{shown.damage}/house-{building:04d}-{view}.png"
            _write(out / "pictures" / file, shown.image)
            if shown.damage != SOUND:
                _write(out / "masks" / file, Image.fromarray(shown.mask.astype(np.uint8) * 255))
            rows.writerow((file, shown.damage, f"house-{building:04d}"))
    content = table.getvalue().encode()
    write_whole(out / "pictures" / "labels.csv", lambda file: file.write(content))
    return out / "pictures"


def _write(path: Path, picture: Image.Image) -> None:
    write_whole(path, lambda file: picture.save(file, "PNG"))
