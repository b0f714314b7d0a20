"""Which class of each picture is meant: that of an index, the predicted one, or the best of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.tasks.asked import both_are
from mmcam.tasks.graph import operation
from mmcam.tasks.names import Group, short


@dataclass
class First:
    """The first output, which decides: a method that changes the pictures asks about the class it began with.

    Attributes:
        scores: of all classes, (N, classes); None before there is one.
        operation: that made them, by its name in autograd.
        two_sides: they are the two sides of a single score.
    """

    scores: Tensor | None = None
    operation: str = ""
    two_sides: bool = False

    def of(self, found: Tensor, scores: Tensor) -> Tensor:
        """The first scores, which are these if there were none.

        Args:
            found: the class scores in an output.
            scores: the same, a column a class.
        """
        if self.scores is None:
            self.scores, self.operation = scores.detach().clone(), operation(found)
            self.two_sides = scores.shape[1] > found.shape[1]
        return self.scores


@dataclass(frozen=True)
class Similar:
    """In a contrast's place: the classes whose scores are nearest to the target's, in each picture its own.

    Attributes:
        count: how many, or as many as there are.
    """

    count: int = 3

    def of(self, scores: Tensor, own: Tensor, what: str) -> Tensor:
        """Their indices (N, count), the nearest first.

        Args:
            scores: (N, classes).
            own: (N,), the target's class of each picture; -1 where it is none.
            what: a class is called.

        Raises:
            ExplainError: the target is none; there is no other.
        """
        if (own < 0).any():
            raise ExplainError(f"A function of the output is similar to no {what}; name a {what}, or the contrast.")
        others = min(self.count, scores.shape[1] - 1)
        if others < 1:
            raise ExplainError(f"The model has no other {what} that could be similar; leave contrast= out.")
        away = (scores - scores.gather(1, own[:, None])).abs().scatter(1, own[:, None], torch.inf)
        return away.topk(others, largest=False).indices


SIMILAR: Final = "similar"
"""How it is asked for."""


def rather_than(contrast: Any, names: Sequence[str] | None) -> Any:
    """A contrast as it is, or `Similar` for the word, unless that is the name of one of the classes."""
    return Similar() if contrast == SIMILAR and SIMILAR not in (names or ()) else contrast


def apart(target: Any, contrast: Any, classes: int) -> tuple[Any, Any]:
    """A target and its contrast without the classes that both hold, where that leaves some.

    "dog rather than animal" asks which animal that is no dog comes next, "cat rather than tabby" about the other cats.

    Args:
        target, contrast: an index, a `Group`, or anything else, which stays.
        classes: how many there are.

    Raises:
        ExplainError: both are groups of the same classes.
    """
    if isinstance(target, Group) and isinstance(contrast, Group) and set(target.classes) == set(contrast.classes):
        raise both_are("class", target.name)
    return _without(target, _held(contrast, classes)), _without(contrast, _held(target, classes))


def _held(wanted: Any, classes: int) -> set[int]:
    if isinstance(wanted, Group):
        return set(wanted.classes)
    return {wanted % classes} if isinstance(wanted, int) and classes else set()


def _without(wanted: Any, others: set[int]) -> Any:
    if not isinstance(wanted, Group):
        return wanted
    left = tuple(index for index in wanted.classes if index not in others)
    return Group(wanted.name, left) if left else wanted


def chosen(column: Sequence[Any], scores: Tensor, rivals: Tensor | None = None) -> Tensor:
    """The index of the class that is meant of each picture: (N,), -1 where it is none.

    Args:
        column: of each picture an index, a `Group`, None for the predicted class, or a function, which is none.
        scores: (N, classes).
        rivals: (N,), of each picture a class that a group is to leave out.

    Raises:
        ExplainError: an index that the model has no class for; not one entry a picture.
    """
    pictures, classes = scores.shape
    if len(column) != pictures:
        raise ExplainError(f"There are {len(column)} classes for {pictures} pictures; give one a picture.")
    places: dict[Any, list[int]] = {}
    for n, wanted in enumerate(column):
        places.setdefault(wanted, []).append(n)
    found = torch.full((pictures,), -1, device=scores.device)
    for wanted, rows in places.items():
        if wanted is None:
            found[rows] = scores[rows].argmax(1)
        elif isinstance(wanted, Group):
            among = torch.tensor(wanted.classes, device=scores.device)
            own = scores[rows][:, among]
            if rivals is not None:
                own = own.masked_fill(among == rivals[rows][:, None], -torch.inf)
            found[rows] = among[own.argmax(1)]
        elif not callable(wanted):
            if not -classes <= wanted < classes:
                raise ExplainError(f"There is no class {short(wanted)}: the model has classes 0…{classes - 1}.")
            found[rows] = wanted % classes
    return found
