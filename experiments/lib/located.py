"""Localisation errors and pointing accuracies of recorded boxes and maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from experiments.lib.boxes import (
    SHARES,
)  # fmt: skip
from experiments.lib.maxima import hit, mask_of
from experiments.lib.modified_game import halves, modified, spread
from experiments.lib.records import Record
from mmcam.evaluation.localisation import Located, errors, share
from mmcam.evaluation.pointing import Offered, class_mean

PAPERS: Final = 0.15
"""The papers' share of the maximum at which a map is cut."""
SMALL: Final = 0.25
"""A class whose boxes cover less of the picture than this is small: the centre does not lie on it so often."""


def figures(records: list[Record], tolerance: int) -> dict[str, Any]:
    """All figures of a network and a method."""
    row: dict[str, Any] = {"pictures": len(records)}
    for name, error in errors([located(record, PAPERS) for record in records]).items():
        row[name] = {"value": error.value, "standard_error": error.standard_error, "pictures": error.pictures}
    row["own share"] = own_share(records)
    row["by share"] = {}
    for cut in SHARES:
        error = errors([located(record, cut) for record in records], (1,))["localisation top-1"]
        row["by share"][str(cut)] = {"value": error.value, "standard_error": error.standard_error}
    trials = [pointed(record, tolerance) for record in records]
    row["pointing"] = spread(trials, lambda own: mean_of(own, small=False))
    row["pointing small"] = spread(trials, lambda own: mean_of(own, small=True))
    offers = [offered(record, tolerance) for record in records]
    row["modified"] = modified(offers, balanced=False)
    row["modified balanced"] = modified(offers, balanced=True)
    return row


def located(record: Record, cut: float) -> Located:
    """A record's five predictions with their boxes at a share of the maximum."""
    boxes = {found["label"]: found["boxes"][str(cut)] for found in record["maps"]}
    predictions = [(None if boxes[label] is None else tuple(boxes[label]), label) for label in record["top"]]
    truth = {int(label): own for label, own in record["truth"].items()}
    return Located(predictions, truth, record["blacklisted"])


def own_share(records: list[Record]) -> dict[str, Any]:
    """Localisation error top-1 when each half is cut at the share that is best for the other one."""
    outcomes: list[bool] = []
    cuts = []
    first, second = halves([record for record in records if not record["blacklisted"]])
    for held_out, judged in ((second, first), (first, second)):
        cut = min(SHARES, key=lambda cut: errors([located(r, cut) for r in held_out], (1,))["localisation top-1"].value)
        cuts.append(cut)
        outcomes += [errors([located(record, cut)], (1,))["localisation top-1"].value == 1 for record in judged]
    error = share(outcomes)
    return {"shares": cuts, "value": error.value, "standard_error": error.standard_error}


def pointed(record: Record, tolerance: int) -> list[tuple[int, bool, bool]]:
    """(class, whether the maximum hits it, whether it is small) for each class in a picture."""
    found = []
    for each in record["maps"]:
        mask = mask_of(record, each["label"])
        if mask is not None:
            found.append((each["label"], hit(each, mask, tolerance), bool(mask.mean() < SMALL)))
    return found


def offered(record: Record, tolerance: int) -> list[Offered]:
    """The maps of a record's five predictions, as the modified game takes them."""
    found = []
    for each in record["maps"]:
        if each["label"] in record["top"]:
            mask = mask_of(record, each["label"])
            there = mask is not None
            found.append(Offered(each["maximum"], there, mask is not None and hit(each, mask, tolerance)))
    return found


def mean_of(trials: Sequence[Sequence[tuple[int, bool, bool]]], small: bool) -> float:
    """Pointing accuracy over classes, of small things only if asked; nan where there are none."""
    own = [(label, hit) for picture in trials for label, hit, is_small in picture if is_small or not small]
    return class_mean(*zip(*own, strict=True)) if own else float("nan")
