"""Which pictures fit a kind of study, and what is to be visualised of each."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.errors import ExplainError
from mmcam.studies.subjects import Subject

TOP = 4
"""Answers among which raters choose in the study of distinction."""


@dataclass(frozen=True)
class Candidate:
    """A picture that fits.

    Attributes:
        picture: its file.
        label: what is told of it, or what is right.
        targets: (number of the model, class) of each visualisation.
        choices: answers; () where all items have the same.
        truth: number of the right answer; None where there is none.
        side: which half of the items it belongs to; both halves are filled alike.
        training: (model, class, label) of visualisations from which a simulated rater may learn how a label looks.
    """

    picture: Path
    label: str
    targets: tuple[tuple[int, int], ...]
    choices: tuple[str, ...]
    truth: int | None
    side: int
    training: tuple[tuple[int, int, str], ...]


@dataclass
class Tally:
    """What share of a picture's labels each model found, summed over the pictures it was asked about."""

    right: list[float]
    asked: int = 0

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Of each model."""
        return tuple(each / max(1, self.asked) for each in self.right)


def candidates(
    kind: str, pictures: Iterable[LabelledPicture], subjects: Sequence[Subject], tally: Tally, rng: random.Random
) -> Iterator[Candidate]:
    """The pictures that fit a kind of study, one after the other; how often the models are right is counted."""
    find = {"discrimination": _two_things, "trust": _both_right, "agreement": _one_answer, "distinction": _four}[kind]
    for picture in pictures:
        scores = [one.scores(picture.path) for one in subjects]
        tally.asked += 1
        for place, one in enumerate(subjects):
            tally.right[place] += sum(one.finds(label, scores[place]) for label in picture.labels) / len(picture.labels)
        found = find(picture, subjects, scores, rng)
        if found is not None:
            yield found


def chosen(found: Iterator[Candidate], items: int, extra: int, kind: str) -> tuple[list[Candidate], list[Candidate]]:
    """As many items, half of either side, and further ones.

    Raises:
        ExplainError: there are not enough.
    """
    room = [items - items // 2, items // 2]
    kept: list[Candidate] = []
    more: list[Candidate] = []
    for one in found:
        if room[one.side] > 0:
            room[one.side] -= 1
            kept.append(one)
        elif len(more) < extra:
            more.append(one)
        if not any(room) and len(more) >= extra:
            return kept, more
    lacking = {
        "discrimination": "with exactly two labels, of different classes",
        "trust": "that both models get right",
        "agreement": "half of which the model gets wrong",
        "distinction": "with the right answer among the first four, half of which the model gets wrong",
    }[kind]
    raise ExplainError(
        f"There are {len(kept) + len(more)} pictures that fit, and {items + extra} are needed, {lacking}; give more "
        "pictures, or take fewer --items."
    )


def _two_things(
    picture: LabelledPicture, subjects: Sequence[Subject], scores: Sequence[Tensor], rng: random.Random
) -> Candidate | None:
    (one,), (logits,) = subjects, scores
    classes = [one.best(label, logits) for label in picture.labels]
    if classes[0] == classes[1]:
        return None
    side, labels = rng.randrange(2), tuple(one.told(label) for label in picture.labels)
    training = tuple((0, index, label) for index, label in zip(classes, labels, strict=True))
    return Candidate(picture.path, labels[side], ((0, classes[side]),), labels, side, side, training)


def _both_right(
    picture: LabelledPicture, subjects: Sequence[Subject], scores: Sequence[Tensor], rng: random.Random
) -> Candidate | None:
    pairs = list(zip(subjects, scores, strict=True))
    label = next((label for label in picture.labels if all(one.finds(label, x) for one, x in pairs)), None)
    if label is None:
        return None
    targets = tuple((place, one.best(label, x)) for place, (one, x) in enumerate(pairs))
    told = subjects[0].told(label)
    training = tuple((*target, told) for target in targets)
    return Candidate(picture.path, told, targets, (), None, rng.randrange(2), training)


def _one_answer(
    picture: LabelledPicture, subjects: Sequence[Subject], scores: Sequence[Tensor], rng: random.Random
) -> Candidate | None:
    (one,), (logits,) = subjects, scores
    first = one.ranked(logits)[0]
    right = next((label for label in picture.labels if first in one.classes[label]), None)
    training = () if right is None else ((0, first, one.told(right)),)
    meant = right or next((label for label, classes in one.classes.items() if first in classes), None)
    said = one.name_of(first) if meant is None else one.told(meant)
    return Candidate(picture.path, said, ((0, first),), (), 0 if right is not None else 1, right is None, training)


def _four(
    picture: LabelledPicture, subjects: Sequence[Subject], scores: Sequence[Tensor], rng: random.Random
) -> Candidate | None:
    (one,), (logits,) = subjects, scores
    top = one.ranked(logits)[:TOP]
    right = [place for place, index in enumerate(top) if any(index in one.classes[label] for label in picture.labels)]
    if len(top) < TOP or len(right) != 1:
        return None
    answer = top[right[0]]
    label = one.told(next(label for label in picture.labels if answer in one.classes[label]))
    wrong = right[0] != 0
    rng.shuffle(top)
    return Candidate(
        picture.path, label, tuple((0, index) for index in top), (), top.index(answer), wrong, ((0, answer, label),)
    )
