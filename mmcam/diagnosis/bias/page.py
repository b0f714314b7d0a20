"""The page of what each class's maps lie on: the strongest leanings with pictures, then the whole table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import mmcam
from mmcam.diagnosis.bias.ranking import Lean
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.pairs import PAGES
from mmcam.drawing.saving import save_as
from mmcam.report.explained import fixed, ramp
from mmcam.report.spotlight import data_uri, thumbnail
from mmcam.report.templates import rendered
from mmcam.version import __version__

if TYPE_CHECKING:
    from mmcam.diagnosis.bias.run import Found

SUFFIXES, INSTEAD = (*PAGES, ".csv"), "the result is an .html page or a .csv"
"""Of what can be written, and what is said of others."""
SHOWN = 8
"""Leanings that the page shows with pictures."""
CLEAR = 2.0
"""Standard errors from which on a class is said to lean to a concept."""
SIDE, QUALITY = 220, 80
COLUMNS = ("class", "concept", "pictures", "share", "area", "excess", "others", "more", "error", "z")


def write_page(
    path: Path, found: Found, explainer: Explainer, means: Mapping[str, Sequence[int]], source: Path
) -> Path:
    """Write the page, or the table alone; it appears whole or not at all, and one that is there is replaced.

    Args:
        path: an ``.html`` or a ``.csv``.
        found: what was measured.
        explainer: how maps were made.
        means: of each label the model's classes.
        source: of the pictures.

    Raises:
        ExplainError: another suffix, or a place where nothing can be written.
    """

    def write(file: IO[bytes]) -> None:
        file.write(_page(found, explainer, means, source).encode("utf-8", "backslashreplace"))

    def write_table(file: IO[bytes]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(_cells(lean) for lean in found.leans)
        file.write(text.getvalue().encode())

    return save_as(path, dict.fromkeys(PAGES, write) | {".csv": write_table}, INSTEAD)


def _cells(lean: Lean) -> list[Any]:
    figures = (lean.share.value, lean.area, lean.excess.value, lean.others, lean.more, lean.error, lean.z)
    return [
        lean.label,
        lean.concept,
        lean.share.n,
        *("" if f is None or math.isnan(f) else f"{f:.4f}" for f in figures),
    ]


def _page(found: Found, explainer: Explainer, means: Mapping[str, Sequence[int]], source: Path) -> str:
    strongest = [lean for lean in found.leans if lean.z >= CLEAR][:SHOWN]
    return rendered(
        "diagnosis/bias/page.html.jinja",
        {"percent": percent, "fixed": fixed},
        title=f"What the maps of each class lie on, {source.name}",
        found=found,
        shown=[(lean, [_drawn(file, lean.label, explainer, means) for file in lean.pictures]) for lean in strongest],
        clear=sum(lean.z >= CLEAR for lean in found.leans),
        of_units=explainer.units is not None,
        how=explainer.told,
        gradient=ramp(),
        limit=CLEAR,
        version=__version__,
    )


def _drawn(file: str, label: str, explainer: Explainer, means: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """A picture with the map of its class, made once more: only these few are drawn."""
    found = mmcam.explain_class(explainer.model, file, list(means[label]), names=explainer.names, **explainer.how)
    exp = max(found, key=lambda each: each.score)
    small = thumbnail(exp.overlay(), SIDE)
    return {"image": data_uri(small, QUALITY), "size": small.size, "name": Path(file).name, "target": exp.target}


def percent(value: float | None) -> str:
    """A share in percent; "–" where there is none."""
    return "–" if value is None or math.isnan(value) else f"{fixed(100 * value, 1)} %"
