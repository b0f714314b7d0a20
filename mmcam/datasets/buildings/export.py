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
            ``masks/CONDITION/house-0007-1.png``, white where the damage is seen; and ``labels.csv`` with the columns
            picture, class, group, which is the building, and mask.
        buildings, views: how many, and of each how many views.
        seed: of the world.

    Returns:
        The table, ``labels.csv``.

    Raises:
        ExplainError: the folder is there already.
    """
    if out.exists():
        raise ExplainError(f"{out} is there already; name another place, or remove it first.")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("picture", "class", "group", "mask"))
    for building in range(buildings):
        for view in range(views):
            shown = photograph(building, view, seed)
            file = f"{shown.damage}/house-{building:04d}-{view}.png"
            _write(out / "pictures" / file, shown.image)
            masked = shown.damage != SOUND
            if masked:
                _write(out / "masks" / file, Image.fromarray(shown.mask.astype(np.uint8) * 255))
            mask = f"masks/{file}" if masked else ""
            rows.writerow((f"pictures/{file}", shown.damage, f"house-{building:04d}", mask))
    content = table.getvalue().encode()
    return write_whole(out / "labels.csv", lambda file: file.write(content))


def _write(path: Path, picture: Image.Image) -> None:
    write_whole(path, lambda file: picture.save(file, "PNG"))
