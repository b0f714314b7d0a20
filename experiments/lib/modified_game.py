"""The modified pointing game with a threshold from other pictures, and figures with intervals from resampled pictures.

The threshold below which a method's maps are rejected is chosen on one half of the pictures and judged on the other, so
that none is judged with a threshold it helped to choose (Selvaraju et al., arXiv 1610.02391, on pointing).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from mmcam.evaluation import Offered, accuracy_with_rejection, bootstrap, rejection_threshold

RESAMPLES: Final = 500
SEED: Final = 0


def halves(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The pictures at even and at odd places."""
    return list(items[::2]), list(items[1::2])


def modified(offers: list[list[Offered]], balanced: bool) -> dict[str, Any]:
    """The modified game when each half is judged with the threshold that is best for the other one.

    Args:
        offers: the maps of each picture's predictions, one list a picture.
        balanced: as in `mmcam.evaluation.accuracy_with_rejection`.

    Returns:
        "thresholds" of both halves ("all": everything is rejected), "value", "low" and "high"; all of them None where a
        half has no maps, or with `balanced` no class that is present or none that is absent.
    """
    first, second = halves(offers)
    if not (_defined(first, balanced) and _defined(second, balanced)):
        return {"thresholds": None, "value": None, "low": None, "high": None}
    thresholds = [rejection_threshold(_together(half), balanced) for half in (second, first)]
    # Judged with the other half's threshold, each map is as if the threshold were 0 and its maximum the side it is on.
    pictures = [
        [replace(o, maximum=1.0 if o.maximum >= threshold else -1.0) for o in own]
        for half, threshold in zip((first, second), thresholds, strict=True)
        for own in half
    ]

    def accuracy(own: Sequence[Sequence[Offered]]) -> float:
        return accuracy_with_rejection(_together(own), 0.0, balanced) if _defined(own, balanced) else math.nan

    found = spread(pictures, accuracy)
    return {"thresholds": [t if math.isfinite(t) else "all" for t in thresholds], **found}


def _together(pictures: Sequence[Sequence[Offered]]) -> list[Offered]:
    return [offered for own in pictures for offered in own]


def _defined(pictures: Sequence[Sequence[Offered]], balanced: bool) -> bool:
    """There are maps, and if they are to be balanced, of classes that are present and of absent ones."""
    return len({offered.present for offered in _together(pictures)}) > balanced


def spread(pictures: Sequence[Any], figure: Callable[[Sequence[Any]], float]) -> dict[str, float | None]:
    """A figure over pictures, and a 95 % interval from resampling pictures; None where there is no figure."""
    found = bootstrap(pictures, figure, resamples=RESAMPLES, seed=SEED)
    return {
        name: None if math.isnan(value) else value
        for name, value in (("value", found.value), ("low", found.low), ("high", found.high))
    }
