"""How good masks are: intersection over union of each class, counted over all pictures, and its mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmcam.diagnosis.segmentation.pictures import VOID
from mmcam.evaluation.uncertainty import Interval, bootstrap

Counts = list[list[int]]
"""Of each class, background first: pixels that are both said and true, that are said, that are true."""


def counts(said: NDArray[np.integer], true: NDArray[np.integer], classes: int) -> Counts:
    """Of one picture.

    Args:
        said, true: (H, W), classes from 0; where `true` is `VOID`, nothing counts; where `said` is no class, nothing is
            said.
        classes: with background.
    """
    known = true != VOID
    return [
        [int((known & (said == n) & (true == n)).sum()), int((known & (said == n)).sum()), int((true == n).sum())]
        for n in range(classes)
    ]


def ious(pictures: Sequence[Counts]) -> list[float]:
    """Of each class over pictures; nan of one that is neither said nor true anywhere."""
    both, said, true = np.sum(np.array(pictures, dtype=float), axis=0).T
    either = said + true - both
    return [float(a / b) if b else float("nan") for a, b in zip(both, either, strict=True)]


def miou(pictures: Sequence[Counts]) -> float:
    """Mean over the classes that are somewhere, background among them, as VOC's is (its 21)."""
    true = np.sum(np.array(pictures), axis=0)[:, 2]
    return float(np.mean([iou for iou, n in zip(ious(pictures), true, strict=True) if n]))


def miou_interval(pictures: Sequence[Counts], resamples: int = 500, seed: int = 0) -> Interval:
    """The same with a 95 % interval of resampled pictures."""
    return bootstrap(pictures, miou, resamples=resamples, seed=seed)
