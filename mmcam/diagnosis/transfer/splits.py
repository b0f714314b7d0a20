"""Training, validation and test pictures: disjoint, with each class in each, and groups left whole."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmcam.diagnosis.transfer.examples import Examples
from mmcam.errors import ExplainError
from mmcam.files import write_whole

SHARES: Final = (0.6, 0.2, 0.2)
"""Of each class's pictures, to train, to choose by, and to test."""
TRIES: Final = 100

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

    Args:
        examples: at least three groups a class.
        seed: the same gives the same split.

    Raises:
        ExplainError: groups hold pictures of several classes in such a way that no split was found that has every class
            in each part. Where each group is of one class, one is always found.
    """
    names = {group: number for number, group in enumerate(dict.fromkeys(examples.groups))}
    group_of = np.array([names[group] for group in examples.groups])
    counts = np.zeros((len(names), len(examples.classes)))
    np.add.at(counts, (group_of, np.array(examples.labels)), 1)
    for attempt in range(TRIES):
        part_of = _dealt(counts, np.random.default_rng((seed, attempt)))
        if part_of is not None:
            return Split(*(np.flatnonzero(part_of[group_of] == part) for part in range(len(SHARES))))
    raise ExplainError(
        f"No split was found in which training, validation and test pictures have all {len(examples.classes)} classes, "
        "with groups left whole, since groups hold pictures of several classes; add groups to the rarest class, or "
        "make groups smaller."
    )


def _dealt(counts: NDArray[np.float64], rng: np.random.Generator) -> Rows | None:
    """The part of each group (groups,), dealt out in a random order, those of rare classes first; None if a part lacks
    a class in the end.

    A group goes where the shares of its classes come nearest to `SHARES`; but to a part that lacks a class of its, if
    only as many groups of that class are left as there are such parts.

    Args:
        counts: (groups, classes), how many pictures.
        rng: of the order.
    """
    total, there = counts.sum(0), counts > 0
    left = there.sum(0)
    rarest = np.where(there, left, len(counts) + 1).min(1)
    order = rng.permutation(len(counts))
    have, part_of = np.zeros((len(SHARES), len(total))), np.zeros(len(counts), dtype=np.int64)
    for group in order[np.argsort(rarest[order], kind="stable")]:
        own = there[group]
        lacking = have == 0
        due = own & (lacking.sum(0) >= left)
        needs = (lacking & due).sum(1)
        best = np.flatnonzero(needs == needs.max())
        after = (have[best][:, own] + counts[group, own]) / total[own]
        before = have[best][:, own] / total[own]
        want = np.array(SHARES)[best, None]
        gain = ((before - want) ** 2 - (after - want) ** 2).sum(1)
        part = best[int(gain.argmax())]
        have[part] += counts[group]
        part_of[group] = part
        left = left - own
    return part_of if bool((have > 0).all()) else None


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
