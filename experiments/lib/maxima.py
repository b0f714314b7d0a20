"""Whether the maximum of a recorded map hits its class."""

from __future__ import annotations

from typing import Final

import numpy as np

from experiments.lib.records import Record
from mmcam.evaluation.localisation import covered
from mmcam.evaluation.pointing import inside

TOLERANCE: Final = {"real": 15, "ilsvrc": 15, "vignettes": 0}
"""Pixels around a maximum that count as the maximum: 15 is the game's on photographs."""


def hit(found: Record, mask: np.ndarray, tolerance: int) -> bool:
    """Whether a map's maximum lies in a box."""
    peak = found["peak"]
    return inside(None if peak is None else (peak[0], peak[1]), mask, tolerance)


def mask_of(record: Record, label: int) -> np.ndarray | None:
    """True in the boxes of a class; None where it is not in the picture."""
    boxes = record["truth"].get(str(label))
    return None if boxes is None else covered(boxes, record["size"])
