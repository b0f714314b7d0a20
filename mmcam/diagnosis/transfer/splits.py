"""Training, validation and test pictures: disjoint, with each class in each, and groups left whole."""

from __future__ import annotations

import csv
import io
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmcam.diagnosis.transfer.examples import Examples
from mmcam.errors import ExplainError
from mmcam.files import write_whole

FOLDS: Final = 5
"""One to choose by, one to test, the others to train."""
TRIES: Final = 40

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Which pictures are for what, by their numbers."""

    train: Rows
    val: Rows
    test: Rows

    @property
    def parts(self) -> dict[str, Rows]:
        """By name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def split_of(examples: Examples, seed: int) -> Split:
    """Three fifths to train, one to choose by, one to test, as near as whole groups allow.

    Folds are scikit-learn's `StratifiedGroupKFold`; of the pairs that could be held out that one is taken whose classes
    are nearest to a fifth each.

    Args:
        examples: at least three groups a class.
        seed: the same gives the same split.

    Raises:
        ExplainError: scikit-learn is not there; groups hold pictures of several classes in such a way that no split has
            every class in each part.
    """
    labels = np.array(examples.labels)
    counts = np.bincount(labels, minlength=len(examples.classes))
    best: tuple[float, Split] | None = None
    for attempt in range(TRIES):
        for split in _held_out(labels, examples.groups, seed + attempt):
            shares = [np.bincount(labels[part], minlength=len(counts)) / counts for part in (split.val, split.test)]
            if min(share.min() for share in shares) <= 0 or (shares[0] + shares[1]).max() >= 1:
                continue
            off = float(max(np.abs(share - 1 / FOLDS).max() for share in shares))
            if best is None or off < best[0] - 1e-12:
                best = off, split
        if best is not None:
            return best[1]
    raise ExplainError(
        f"No split was found in which training, validation and test pictures have all {len(counts)} classes, with "
        "groups left whole, since groups hold pictures of several classes; add groups to the rarest class, or make "
        "groups smaller."
    )


def _held_out(labels: Rows, groups: Sequence[str], seed: int) -> list[Split]:
    """A split for each pair of folds; none where scikit-learn finds no folds."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as error:
        raise ExplainError("mmcam finetune splits by scikit-learn; pip install 'mmcam[finetune]' brings it.") from error

    # Not more folds than the rarest class has pictures, which scikit-learn refuses.
    folds = StratifiedGroupKFold(max(3, min(FOLDS, int(np.bincount(labels).min()))), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer pictures than folds
        parts = [held for _, held in folds.split(np.zeros(len(labels)), labels, list(groups))]
    every = np.arange(len(labels))
    pairs = itertools.permutations(range(len(parts)), 2)
    return [
        Split(np.setdiff1d(every, np.concatenate([parts[a], parts[b]])), np.sort(parts[a]), np.sort(parts[b]))
        for a, b in pairs
    ]


def write_splits(path: Path, examples: Examples, split: Split) -> Path:
    """A table of which picture is for what: part, class, group, picture."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("part", "class", "group", "picture"))
    for name, rows in split.parts.items():
        for row in rows:
            picture = examples.pictures[row]
            table.writerow((name, picture.labels[0], picture.group, picture.path))
    content = text.getvalue().encode("utf-8", "backslashreplace")
    return write_whole(path, lambda file: file.write(content))
