"""One picture that was judged: what is true of it, what the model said, and where the maps of both lie.

A case is kept as a record (see `mmcam.diagnosis.records`) with these keys:

* picture: its path, as it was given; of a question or word also which.
* right: whether the model is.
* truth, said: in words; the same of what is right.
* confidence: the probability of what was said, of the truth: "truth confidence"; None where nothing says.
* agreement: rank correlation of the two maps; overlap: IoU of their boxes; None where one is missing, empty or even.
* points: of the truth's map and of what was said, whether its maximum lies on the thing; mass: the share of the map on
  it; centre: whether the picture's centre lies on it. None where no mask or box says where it is.
* grid: the truth's map over the whole picture, `GRID` cells a side, its maximum 1; None of an empty map.
* card: of a failure, what the page shows of it: the picture, both maps, what is told of each, and notes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

import mmcam
from mmcam.diagnosis.pairs import small
from mmcam.diagnosis.records import Record
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.localisation import inclusive, iou
from mmcam.evaluation.pointing import centre, inside
from mmcam.evaluation.relevance import mass
from mmcam.report.maps import drawn

GRID = 14
"""Cells a side of the map that is kept for the mean over pictures."""
UNITS = 3
"""Units on either side that a sentence looks at."""


@dataclass(frozen=True)
class Told:
    """A target of a case.

    Attributes:
        name: what it is called.
        probability: None where nothing says.
        exp: its explanation; None where the model cannot say it.
    """

    name: str
    probability: float | None
    exp: mmcam.Explanation | None


def case_of(
    picture: Path,
    truth: Told,
    said: Told,
    right: bool,
    region: NDArray[np.bool_] | None = None,
    *,
    units: Any = None,
    what: str = "",
    context: str = "",
    notes: Sequence[str] = (),
) -> Record:
    """The record of a picture.

    Args:
        picture: its file.
        truth, said: of what is right, both are the truth.
        right: whether the model is.
        region: (H,W), where the thing is; None where nothing says.
        units: names of the layer's units.
        what: of several things that are asked of one picture, which.
        context: the caption or question that it is about.
        notes: sentences that the page shows.
    """
    own, other = truth.exp, said.exp
    thing = region if region is not None and region.any() else None
    record: Record = {
        "picture": f"{picture}\t{what}" if what else str(picture),
        "right": right,
        "truth": truth.name,
        "said": said.name,
        "confidence": said.probability,
        "truth confidence": truth.probability,
        "agreement": None,
        "overlap": None,
        "points": [None if exp is None or thing is None else inside(exp.peak(), thing) for exp in (own, other)],
        "mass": [None if exp is None or thing is None else mass(exp.heatmap, thing) for exp in (own, other)],
        "centre": None if thing is None else inside(centre(thing), thing),
        "grid": None if own is None else grid(own),
    }
    if own is not None and other is not None:
        agreement = rank_correlation(own.cam, other.cam)
        record |= {"agreement": agreement if math.isfinite(agreement) else None, "overlap": overlap(own, other)}
    if not right:
        record["card"] = _card(picture, (truth, said), units, notes) | {"context": context}
    return record


def overlap(one: mmcam.Explanation, other: mmcam.Explanation) -> float | None:
    """The IoU of the boxes of two maps at the paper's 15 % of the maximum; None where one is empty."""
    boxes = [exp.box() for exp in (one, other)]
    if None in boxes:
        return None
    first, second = (inclusive(box or ()) for box in boxes)
    return float(iou(first, second))


def grid(exp: mmcam.Explanation) -> list[list[float]] | None:
    """A map over the whole picture, `GRID`×`GRID`, its maximum 1; None of an empty one."""
    fine = exp.geometry.resized(8 * GRID, 8 * GRID).to_original(exp.cam).clamp(min=0)
    top = float(fine.max())
    if not 0 < top < math.inf:
        return None
    cells = F.avg_pool2d(fine[None], 8)[0]
    return [[round(value, 3) for value in row] for row in (cells / cells.max()).cpu().tolist()]


def _card(picture: Path, targets: Sequence[Told], units: Any, notes: Sequence[str]) -> dict[str, Any]:
    image = next((told.exp.image for told in targets if told.exp is not None), None)
    uri, size = small(mmcam.load_image(picture) if image is None else image)
    said = list(notes)
    for told in targets:
        if told.exp is None:
            said.append(f"There is no map of {told.name}: the model cannot say it.")
            continue
        said += [told.exp.note] if told.exp.note else []
        if units is not None:
            claim = told.exp.claim if told is targets[1] else f"It gives “{told.name}” its score"
            said.append(str(replace(told.exp, claim=claim).why(units, k=UNITS)))
    return {
        "image": uri,
        "size": list(size),
        "maps": [None if told.exp is None else drawn(told.exp, size) for told in targets],
        "scores": [None if told.exp is None else told.exp.score for told in targets],
        "notes": list(dict.fromkeys(note for note in said if note)),
    }


def mean_grid(records: Sequence[Record]) -> torch.Tensor | None:
    """The mean of the truth's maps (GRID,GRID) over records, each map's maximum 1; None where all are empty."""
    grids = [record["grid"] for record in records if record["grid"] is not None]
    return torch.tensor(grids).mean(0) if grids else None
