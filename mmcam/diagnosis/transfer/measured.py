"""How good a classifier is on pictures it has never seen: by class, balanced, and each figure with an interval.

Pictures of one building do not err independently, so groups are what is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcam.diagnosis.transfer.calibration import calibration_error
from mmcam.evaluation import Interval, bootstrap

Matrix = NDArray[np.int64]
"""(classes, classes): how many pictures of the class of the row are called by the class of the column."""


def confusion(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Matrix:
    """The matrix of some pictures."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def recall(matrix: Matrix, c: int) -> float:
    """Of the pictures of a class, the share that is called so; nan without one."""
    return _share(matrix[c, c], matrix[c].sum())


def precision(matrix: Matrix, c: int) -> float:
    """Of the pictures that are called by a class, the share that is of it; nan without one."""
    return _share(matrix[c, c], matrix[:, c].sum())


def f1(matrix: Matrix, c: int) -> float:
    """2·precision·recall / (precision + recall) = 2 hits / (true + called); nan where neither is."""
    return _share(2 * matrix[c, c], matrix[c].sum() + matrix[:, c].sum())


def specificity(matrix: Matrix, c: int) -> float:
    """Of the pictures of other classes, the share that is not called by this one; nan without one."""
    others = matrix.sum() - matrix[c].sum()
    return _share(others - (matrix[:, c].sum() - matrix[c, c]), others)


def balanced_accuracy(matrix: Matrix) -> float:
    """The mean recall of the classes that are there."""
    shares = [recall(matrix, c) for c in range(len(matrix)) if matrix[c].sum()]
    return sum(shares) / len(shares) if shares else math.nan


def accuracy(matrix: Matrix) -> float:
    """The share that is told right."""
    return _share(np.trace(matrix), matrix.sum())


def scores(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """All figures of a set of pictures, ready for JSON; intervals hold 95 % of groups resampled a thousand times.

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
    own = [confusion(predicted[rows], labels[rows], len(classes)) for rows in members.values()]

    def interval(figure: Callable[[Matrix], float]) -> dict[str, float]:
        found: Interval = bootstrap(own, lambda some: figure(np.sum(some, axis=0)), seed=seed)
        return vars(found)

    by_class = {}
    for c, name in enumerate(classes):
        by_class[name] = {
            "pictures": int((labels == c).sum()),
            "called": int((predicted == c).sum()),
            "right": int(((labels == c) & (predicted == c)).sum()),
            **{
                figure.__name__: interval(lambda matrix, c=c, figure=figure: figure(matrix, c))  # type: ignore[misc]
                for figure in (precision, recall, f1, specificity)
            },
        }
    rows_of = list(members.values())
    error = bootstrap(
        rows_of, lambda some: calibration_error(probabilities[np.concatenate(some)], labels[np.concatenate(some)]),
        seed=seed,
    )  # fmt: skip
    return {
        "pictures": len(labels),
        "groups": len(members),
        "accuracy": interval(accuracy),
        "balanced_accuracy": interval(balanced_accuracy),
        "calibration_error": vars(error),
        "classes": by_class,
        "confusion": np.sum(own, axis=0).tolist(),
    }


def _share(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else math.nan
