"""How good a classifier is on pictures it has never seen: by class, balanced, and each figure with an interval.

Pictures of one building do not err independently, so groups are what is counted. A share has Wilson's interval of as
many outcomes as there are groups, as if the pictures of a group were one; so a class of which all three are found is
not said to be found always, as resampling would. What is no share is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcam.diagnosis.transfer.calibration import calibration_error
from mmcam.evaluation import Interval, bootstrap

Matrix = NDArray[np.int64]
"""(classes, classes): how many pictures of the class of the row are called by the class of the column."""

RESAMPLES = 1000


def confusion(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Matrix:
    """The matrix of some pictures."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def f1(matrix: Matrix, c: int) -> float:
    """2·precision·recall / (precision + recall) = 2 hits / (true + called); nan where neither is."""
    whole = matrix[c].sum() + matrix[:, c].sum()
    return float(2 * matrix[c, c] / whole) if whole else math.nan


def _f1_of(c: int, some: Sequence[Matrix]) -> float:
    return f1(np.sum(some, axis=0), c)


def balanced_accuracy(matrix: Matrix) -> float:
    """The mean recall of the classes that are there; nan where none is."""
    shares = [float(matrix[c, c] / matrix[c].sum()) for c in range(len(matrix)) if matrix[c].sum()]
    return sum(shares) / len(shares) if shares else math.nan


def share(hits: NDArray[np.int64], of: NDArray[np.int64]) -> Interval:
    """A share over groups, and Wilson's interval of as many outcomes as there are groups.

    Args:
        hits: (groups,), how many pictures of each.
        of: (groups,), of how many; groups of none count for nothing.
    """
    whole = int(of.sum())
    return wilson(float(hits.sum() / whole) if whole else math.nan, int((of > 0).sum()))


def wilson(value: float, n: int, z: float = 1.96) -> Interval:
    """A share of n outcomes and Wilson's interval of 95 % (Wilson 1927); nan where there is none."""
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    return Interval(value, max(0.0, middle - reach), min(1.0, middle + reach))


def scores(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """All figures of a set of pictures, ready for JSON, with intervals of 95 %.

    Precision and recall as everywhere; specificity is the share of the other classes' pictures that are not called so.

    Args:
        probabilities: (N, classes).
        labels: (N,).
        groups: (N,), what each picture belongs to.
        classes: their names.
        seed: of the resampling.
    """
    predicted = probabilities.argmax(1)
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    # (groups, classes, classes)
    matrices = [confusion(predicted[rows], labels[rows], len(classes)) for rows in members.values()]
    own = np.stack(matrices)
    total = own.sum((1, 2))
    by_class = {}
    for c, name in enumerate(classes):
        hits, there, called = own[:, c, c], own[:, c].sum(1), own[:, :, c].sum(1)
        by_class[name] = {
            "pictures": int(there.sum()),
            "called": int(called.sum()),
            "right": int(hits.sum()),
            "precision": vars(share(hits, called)),
            "recall": vars(share(hits, there)),
            "f1": vars(bootstrap(matrices, partial(_f1_of, c), resamples=RESAMPLES, seed=seed)),
            "specificity": vars(share(total - there - called + hits, total - there)),
        }
    rows_of = list(members.values())
    error = bootstrap(
        rows_of, lambda some: calibration_error(probabilities[np.concatenate(some)], labels[np.concatenate(some)]),
        resamples=RESAMPLES, seed=seed,
    )  # fmt: skip
    return {
        "pictures": len(labels),
        "groups": len(members),
        "accuracy": vars(share(np.trace(own, axis1=1, axis2=2), total)),
        "balanced_accuracy": vars(
            bootstrap(matrices, lambda some: balanced_accuracy(np.sum(some, axis=0)), resamples=RESAMPLES, seed=seed)
        ),
        "calibration_error": vars(error),
        "classes": by_class,
        "confusion": own.sum(0).tolist(),
    }
