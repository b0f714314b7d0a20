"""Names of units that other tools found: the CSV files of NetDissect, CLIP-Dissect and MILAN."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmcam.files import is_file
from mmcam.neurons.names import Names, UnitName, as_word

_COLUMNS = {
    "read_netdissect": ("unit", "category", "label", "score"),
    "read_clip_dissect": ("layer", "unit", "description", "similarity"),
    "read_milan": ("layer", "unit", "description"),
}
"""What each reader needs; a file fits the first whose columns it has all."""

_DETACHED = re.compile(r"\s+(?=['’]s\b)")  # MILAN's words come from a tokeniser: "Dog 's face"

Rows = list[tuple[str, dict[str, str]]]
"""Where a row stands, for messages, and its values by column."""


def read_netdissect(path: Path | str) -> Names:
    """The ``tally.csv`` of NetDissect and NetDissect-Lite, one file a layer.

    Its units are counted from 1 and here from 0. A label becomes a word of a sentence: Broden's marks of a colour
    ("black-c") and of a scene ("shoe_shop-s") go, underscores become blanks. The columns that follow for each category
    (label, truth, activation, intersect, iou) are not read. A unit without a label stays without a name. The tool lists
    every unit of a layer, so the names are refused at a layer with more units, unless units are missing in between:
    such a file was shortened.

    Args:
        path: has the columns unit, category, label and score (IoU), in any order of units.

    Raises:
        ValueError: the file is missing, empty or of another form, or counts from 0.

    Source: Bau et al., Network Dissection, arXiv 1704.05796; CSAILVision/NetDissect and CSAILVision/NetDissect-Lite.
    """
    path = Path(path)
    units: dict[int, UnitName] = {}
    for unit, (where, row) in _by_unit(_rows(path, "read_netdissect")).items():
        if unit == 0:
            raise ValueError(
                f"{where}: unit 0, but NetDissect counts from 1; this file looks 0-based: add 1 to its units, or use "
                "read_clip_dissect or read_milan for a file of theirs."
            )
        category, label = row["category"].strip(), row["label"].strip()
        name = as_word(label, category)
        units[unit - 1] = UnitName(name, category, _score(where, row["score"]) if name else None)
    names = _names(units, "IoU", f"NetDissect ({path.name})", "")
    return replace(names, complete=len(units) == names.count)


def read_clip_dissect(path: Path | str, layer: str) -> Names:
    """One layer of CLIP-Dissect's ``descriptions.csv``.

    Args:
        path: has the columns layer, unit (from 0), description and similarity.
        layer: as the file calls it.

    Raises:
        ValueError: the file is missing, empty or of another form, or has no such layer; the message lists its layers.

    Source: Oikarinen & Weng, CLIP-Dissect, arXiv 2204.10965; Trustworthy-ML-Lab/CLIP-dissect.
    """
    path = Path(path)
    units = {
        unit: UnitName(row["description"].strip(), score=_score(where, row["similarity"]))
        for unit, (where, row) in _by_unit(_of_layer(path, "read_clip_dissect", layer)).items()
    }
    return _names(units, "similarity", f"CLIP-Dissect ({path.name})", layer)


def read_milan(path: Path | str, layer: str) -> Names:
    """One layer of a CSV file of MILAN's descriptions; they have no scores. A detached "'s" is joined to its word.

    Args:
        path: has the columns layer, unit (from 0) and description.
        layer: as the file calls it.

    Raises:
        ValueError: the file is missing, empty or of another form, or has no such layer; the message lists its layers.

    Source: Hernandez et al., Natural Language Descriptions of Deep Visual Features, arXiv 2201.11114; as kept by
    Trustworthy-ML-Lab/CLIP-dissect, data/MILAN_results.
    """
    path = Path(path)
    units = {
        unit: UnitName(_DETACHED.sub("", row["description"].strip()))
        for unit, (_, row) in _by_unit(_of_layer(path, "read_milan", layer)).items()
    }
    return _names(units, "", f"MILAN ({path.name})", layer)


def _names(units: dict[int, UnitName], measure: str, source: str, layer: str) -> Names:
    """Names in the order of the units; without those that are called nothing, which still count."""
    called = {unit: units[unit] for unit in sorted(units) if units[unit].name}
    return Names(called, max(units) + 1, measure, source, layer)


def _rows(path: Path, reader: str) -> Rows:
    """All rows of a file that fits a reader; at least one."""
    if not is_file(path):
        raise ValueError(f"{path} is missing; pass the CSV file that the tool wrote.")
    try:
        # utf-8-sig: spreadsheets put a mark before the first column's name. strict: an open quote would swallow rows.
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            _check_columns(path, lines.fieldnames, reader)
            rows = [(f"{path}, line {lines.line_num}", row) for row in lines]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not CSV text in UTF-8 ({error}); pass the file as the tool wrote it.") from error
    if not rows:
        raise ValueError(f"{path} has a header and no rows; run the tool again, or pass a file it has finished.")
    for where, row in rows:
        if None in row or None in row.values():  # how csv tells too many values, and too few
            raise ValueError(
                f"{where}: more or fewer values than the header has columns; a description with a comma stands in "
                "quotes, and a line cut short means the file is not complete."
            )
    return rows


def _check_columns(path: Path, header: Sequence[str] | None, reader: str) -> None:
    """Raise unless a file has what a reader needs, and is not another tool's."""
    if not header:
        raise ValueError(f"{path} is empty; run the tool again, or pass a file it has finished.")
    fits = next((name for name, columns in _COLUMNS.items() if set(columns) <= set(header)), None)
    if fits and fits != reader:
        raise ValueError(f"{path} has the columns of another tool, {', '.join(_COLUMNS[fits])}; read it with {fits}.")
    missing = [column for column in _COLUMNS[reader] if column not in header]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)} (it has {', '.join(header)[:80]}); the first line "
            f"is to name {', '.join(_COLUMNS[reader])}."
        )


def _of_layer(path: Path, reader: str, layer: str) -> Rows:
    """The rows of one layer."""
    rows = _rows(path, reader)
    chosen = [(where, row) for where, row in rows if row["layer"].strip() == layer]
    if not chosen:
        known = ", ".join(dict.fromkeys(row["layer"].strip() for _, row in rows))
        raise ValueError(f"{path} has no layer {layer!r}; it has {known[:500]}.")
    return chosen


def _by_unit(rows: Rows) -> dict[int, tuple[str, dict[str, str]]]:
    """The rows by their unit's number, as the file counts."""
    units: dict[int, tuple[str, dict[str, str]]] = {}
    for where, row in rows:
        text = row["unit"].strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError(f"{where}: the unit is {text[:40]!r}; write whole numbers without a sign.")
        unit = int(text)
        if unit in units:
            raise ValueError(f"{where}: unit {unit} has a name already; keep one row a unit, and one layer a file.")
        units[unit] = (where, row)
    return units


def _score(where: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{where}: the score is {text[:40]!r}; write a finite number or leave the row out.")
    return score
