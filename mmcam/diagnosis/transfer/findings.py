"""What a finetuned model finds on photographs: what, where, how sure, and whether a person has to look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from mmcam.diagnosis.transfer.localised import Localiser
from mmcam.drawing.overlay import mark
from mmcam.explain.classes import explain_class
from mmcam.explanation import Explanation
from mmcam.models.finetuned import Finetuned
from mmcam.progress import with_progress
from mmcam.report.spotlight import thumbnail

SIDE: Final = 420
"""Pixels of the longer side of a picture in a report."""
CHUNK: Final = 16
ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


@dataclass(frozen=True)
class Photo:
    """A photograph that is reported on.

    Attributes:
        path: of its file.
        truth: its class, "" where nobody has said.
        group: what it belongs to, "" where nothing says.
    """

    path: Path
    truth: str = ""
    group: str = ""


@dataclass(frozen=True, eq=False)
class Finding:
    """What is said of a photograph.

    Attributes:
        photo: it.
        called: its class.
        probability: of it, calibrated.
        second, second_probability: the class that comes next.
        defect: whether the class is one that is looked for; False for the sound one.
        where: in words; "" where no map is shown.
        check: why a person has to look, in a sentence; "" if nobody has to.
        picture: small.
        overlay: the map over it, with boxes; None for what is sound.
    """

    photo: Photo
    called: str
    probability: float
    second: str
    second_probability: float
    defect: bool
    where: str
    check: str
    picture: Image.Image
    overlay: Image.Image | None


def findings_of(
    model: Finetuned, photos: Sequence[Photo], way: Localiser, sure_from: float, sound: str | None
) -> tuple[list[Finding], list[tuple[Path, str]]]:
    """Look at photographs.

    Args:
        model: with its temperature.
        photos: any number.
        way: how maps are made.
        sure_from: the probability below which a person has to look.
        sound: the class that needs no map, if there is one.

    Returns:
        A finding for each photograph that can be opened, and the others with a sentence each.
    """
    found: list[Finding] = []
    bad: list[tuple[Path, str]] = []
    how: dict[str, Any] = {"layer": way.layer, "method": way.method}
    for part in with_progress(list(_parts(photos)), "Explaining"):
        maps = explain_class(model, [photo.path for photo in part], errors="skip", **how)
        for photo, exp in zip(part, maps, strict=True):
            if not isinstance(exp, Explanation):
                bad.append((photo.path, str(exp)))
                continue
            finding = _finding(photo, exp, way, sure_from, sound)
            if finding.check and not finding.defect:  # where would the defect be that it does not rule out?
                other = explain_class(model, photo.path, finding.second, **how)
                finding = replace(
                    finding, where=f"if {finding.second}: {place(other, way.share)}", overlay=_over(other, way)
                )
            found.append(finding)
    return found, bad


def _parts(photos: Sequence[Photo]) -> Iterator[Sequence[Photo]]:
    for start in range(0, len(photos), CHUNK):
        yield photos[start : start + CHUNK]


def _finding(photo: Photo, exp: Explanation, way: Localiser, sure_from: float, sound: str | None) -> Finding:
    assert exp.prediction is not None
    first, second = exp.prediction.best[:2]
    sure, next_sure = float(first.probability or 0), float(second.probability or 0)
    defect = first.name != sound
    check = ""
    if sure < sure_from:
        check = f"It is not sure: {percent(sure)} {first.name}, {percent(next_sure)} {second.name}."
    elif defect and exp.empty:
        check = f"It says {first.name}, and its map shows no place."
    return Finding(
        photo,
        first.name,
        sure,
        second.name,
        next_sure,
        defect,
        where=place(exp, way.share) if defect else "",
        check=check,
        picture=thumbnail(exp.image, SIDE),
        overlay=_over(exp, way) if defect else None,
    )


def _over(exp: Explanation, way: Localiser) -> Image.Image:
    """The map over the picture, with a box around its strongest place."""
    return thumbnail(mark(exp.overlay(), strongest(exp, way.share)), SIDE)


def strongest(exp: Explanation, share: float) -> tuple[int, int, int, int] | None:
    """The box of the part of a map in which its maximum lies; None for an empty map."""
    peak, boxes = exp.peak(), exp.boxes(share)
    if peak is None:
        return None
    return next((b for b in boxes if b[0] <= peak[0] < b[2] and b[1] <= peak[1] < b[3]), None)


def place(exp: Explanation, share: float) -> str:
    """Where a map is strongest, in words: "upper left, 4 % of the picture"."""
    box = strongest(exp, share)
    if box is None:
        return "no place"
    (left, top, right, bottom), (height, width) = box, exp.heatmap.shape
    row = min(2, int(3 * (top + bottom) / 2 / height))
    column = min(2, int(3 * (left + right) / 2 / width))
    words = "centre" if (row, column) == (1, 1) else f"{ROWS[row]} {COLUMNS[column]}"
    others = len(exp.boxes(share)) - 1
    more = f", and {others} other place{'s' * (others > 1)}" if others else ""
    return f"{words}{more}; {percent(float(np.mean(exp.mask(share))))} of the picture"


def percent(value: Any) -> str:
    """A share to read; never 100 % or 0 % of what is not quite so."""
    number = 100 * float(value)
    if 99.5 <= number < 100:
        return "over 99 %"
    return "under 1 %" if 0 < number < 0.5 else f"{number:.0f} %"
