"""What many cases say together: how often the model is wrong, about what, and where the truth's maps lie then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmcam.diagnosis.failures.case import mean_grid
from mmcam.diagnosis.records import Record
from mmcam.evaluation.uncertainty import Mean, mean

SAME = 0.5
"""The IoU of the boxes of two maps from which on they are said to lie in one place."""

PLACES = {
    "both": "both maps point at the thing: right thing, wrong name",
    "truth": "only the truth’s map does: it looked elsewhere",
    "said": "only the map of what was said does",
    "neither": "neither map points at the thing",
    "same": "both maps lie in one place",
    "apart": "the maps lie in different places",
    "unknown": "a map is missing or empty",
}
"""Where the two maps of a failure lie, by a short name: against the thing where masks or boxes show it, else against
each other."""


@dataclass(frozen=True)
class Side:
    """What is measured over the cases in which the model is right, or in which it is wrong.

    Attributes:
        n: how many.
        points: share of the truth's maps whose maximum lies on the thing; mass: share of a map on it; centre: share of
            pictures whose centre lies on it. Of n 0 where nothing says where the thing is.
        said_points: as `points`, of the map of what was said.
        agreement: rank correlation of both maps; overlap: IoU of their boxes.
        grid: the mean of the truth's maps over the picture; None of none.
    """

    n: int
    points: Mean
    mass: Mean
    centre: Mean
    said_points: Mean
    agreement: Mean
    overlap: Mean
    grid: torch.Tensor | None


@dataclass(frozen=True)
class Summary:
    """What many cases say together.

    Attributes:
        wrong: the share of cases, with its error over pictures.
        sides: "wrong" and "right".
        confusions: (truth, said, how many), the most frequent first.
        labels: (truth, how many cases, the share that is wrong), the worst first.
        places: how many failures by the names of `PLACES`, those that there are.
        skipped: what could not be used, with the sentence that says why.
    """

    wrong: Mean
    sides: dict[str, Side]
    confusions: tuple[tuple[str, str, int], ...]
    labels: tuple[tuple[str, int, float], ...]
    places: dict[str, int]
    skipped: tuple[tuple[str, str], ...]


def summary(records: Sequence[Record]) -> Summary:
    """The summary of cases (see `mmcam.diagnosis.failures.case`) and of what was skipped."""
    cases = [record for record in records if "skipped" not in record]
    failures = [case for case in cases if not case["right"]]
    wrong = mean([not case["right"] for case in cases], [_file(case) for case in cases])
    pairs = Counter((case["truth"], case["said"]) for case in failures)
    labels = Counter(case["truth"] for case in cases)
    bad = Counter(case["truth"] for case in failures)
    worst = sorted(labels, key=lambda label: (-bad[label] / labels[label], -labels[label], label))
    places = Counter(place_of(case) for case in failures)
    return Summary(
        wrong,
        {"wrong": _side(failures), "right": _side([case for case in cases if case["right"]])},
        tuple((*pair, count) for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))),
        tuple((label, labels[label], bad[label] / labels[label]) for label in worst),
        {name: places[name] for name in PLACES if places[name]},
        tuple((record["picture"].replace("\t", ": "), record["skipped"]) for record in records if "skipped" in record),
    )


def place_of(case: Record) -> str:
    """Where the two maps of a failure lie: a name of `PLACES`."""
    first, second = case["points"]
    if first is not None and second is not None:
        return {(True, True): "both", (True, False): "truth", (False, True): "said", (False, False): "neither"}[
            first, second
        ]
    if case["overlap"] is None:
        return "unknown"
    return "same" if case["overlap"] >= SAME else "apart"


def _side(cases: Sequence[Record]) -> Side:
    pictures = [_file(case) for case in cases]

    def of(values: Sequence[float | None]) -> Mean:
        return mean(_array(values), pictures)

    return Side(
        len(cases),
        of([case["points"][0] for case in cases]),
        of([case["mass"][0] for case in cases]),
        of([case["centre"] for case in cases]),
        of([case["points"][1] for case in cases]),
        of([case["agreement"] for case in cases]),
        of([case["overlap"] for case in cases]),
        mean_grid(cases),
    )


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _file(case: Record) -> str:
    """The picture of a case: words of one caption are one source of error."""
    file: str = case["picture"].partition("\t")[0]
    return file
