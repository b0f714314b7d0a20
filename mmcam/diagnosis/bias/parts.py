"""What a map is made of: its shares that lie on concepts' masks, or that named units contribute."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mmcam
from mmcam.datasets.concepts.folder import read_table
from mmcam.diagnosis.labelled import joined_masks
from mmcam.diagnosis.records import Record
from mmcam.errors import ExplainError
from mmcam.evaluation.relevance import mass

Masks = Mapping[Path, Mapping[str, Sequence[Path]]]
"""By picture, of each concept that is labelled in it the files that show where."""

_COLUMNS = ("picture", "mask", "name")


def read_masks(table: str | os.PathLike[str]) -> Masks:
    """Which masks show which concepts, from a table that `mmcam dissect` reads, too.

    Lines that name the whole picture have no place and are left out.

    Args:
        table: a CSV with the columns picture, mask, name; paths are relative to it.

    Raises:
        ExplainError: no line has a mask.
        ValueError: a table of another form.
    """
    path = Path(table)
    found: dict[Path, dict[str, list[Path]]] = {}
    for _, row in read_table(path, _COLUMNS):
        if row["picture"] and row["mask"] and row["name"]:
            own = found.setdefault((path.parent / row["picture"]).resolve(), {})
            own.setdefault(row["name"], []).append(path.parent / row["mask"])
    if not found:
        raise ExplainError(f"No line of {path} names a mask; give concepts a place in the column mask.")
    return found


def on_masks(exp: mmcam.Explanation, masks: Mapping[str, Sequence[Path]], picture: Path) -> Record:
    """By concept that is in a picture: [share of the map on it, share of the picture that it covers].

    Args:
        exp: of the picture; its map is not empty.
        masks: of its concepts.
        picture: its file.

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    found = {}
    for name, files in masks.items():
        mask: NDArray[np.bool_] = joined_masks(files, picture, exp.image.size)
        if mask.any():
            found[name] = [mass(exp.heatmap, mask), float(mask.mean())]
    return found


def by_units(exp: mmcam.Explanation, units: Any) -> Record:
    """By name of units: [share of all that speaks for the class which they contribute, None].

    A unit contributes its weight times its mean activation (`mmcam.neurons.narration`); units of one name are added up
    before what speaks against the class is left out; what units without a name contribute belongs to the whole.

    Args:
        exp: made by a method that weighs units.
        units: Names or a Dissection of its layer.

    Raises:
        ExplainError: they do not fit.
    """
    why = exp.why(units, k=max(1, len(exp.weights) if exp.weights is not None else 1))
    sums: dict[str, float] = {}
    for reason in why.table:
        sums[reason.name] = sums.get(reason.name, 0.0) + reason.contribution
    total = sum(max(value, 0.0) for value in sums.values())
    return {name: [max(value, 0.0) / total, None] for name, value in sums.items() if name} if total > 0 else {}
