"""All questions of photographs with captions: asked by the rules, checked, evened out and put into words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from . import words as w
from .balance import balanced, supported
from .exists import absent, fits, kept, likely, named
from .rules import Question, colours, doing, numbers, objects, where
from .scene import Told, scene
from .wording import put

TYPES: Final = ("colour", "number", "object", "place", "action", "exists")
SUPPORT: Final = 8  # questions of training an answer needs; rarer ones are not asked for
MOST: Final = 0.05  # of a split's pictures: in so many a thing is asked for, and in as many where it is not
YES_NO: Final = {"colour": "is coloured", "number": "are", "action": "is doing"}
"""Types that are also asked as yes/no questions: "is the dog brown?"."""


@dataclass(frozen=True)
class Pair:
    """A question in words and its answer: of photograph `photo` of its split."""

    photo: int
    text: str
    answer: str
    question: Question

    @property
    def type(self) -> str:
        """One of `TYPES`."""
        return self.question.type


def make(captions: Mapping[str, Sequence[Sequence[str]]], seed: int = 0) -> dict[str, list[Pair]]:
    """Questions of every split, those of a photograph together, in the order of the photographs.

    A question of a held-out split needs two captions that agree in every case; one of "train" may rest on a colour
    that a single caption tells and none contradicts.

    Args:
        captions: of every split the captions of its photographs, some five each; one split is "train", of which is
            learned which answers are common, and which things people seldom leave out.
        seed: of what is chosen at random: wordings, and what is left out for balance.

    Raises:
        ValueError: there is no split "train".
    """
    if "train" not in captions:
        raise ValueError(f"Questions need a split 'train', of which answers are learned; here are {list(captions)}.")
    scenes = {split: [scene(own) for own in photos] for split, photos in captions.items()}
    asked = {split: _open(own, 1 if split == "train" else 2) for split, own in scenes.items()}
    common = {
        kind: supported([q for _, q in asked["train"] if q.type == kind], lambda q: q.answer, SUPPORT) for kind in TYPES
    }
    things, lifts = kept(scenes["train"]), likely(scenes["train"])
    pairs = {}
    for number, split in enumerate(scenes):
        rng = np.random.default_rng((seed, number))
        clear = [(photo, q) for photo, q in asked[split] if q.answer in common[q.type]]
        chosen = balanced(clear, _form, _answer, rng)
        chosen += balanced(_yes_no(clear, rng), _form, _answer, rng, rank=2)
        chosen += _exist(scenes[split], list(things), lifts, rng)
        chosen.sort(key=lambda item: item[0])
        pairs[split] = [Pair(photo, put(q, rng), q.answer, q) for photo, q in chosen]
    return pairs


Item = tuple[int, Question]  # which photograph, and what is asked of it


def _form(item: Item) -> tuple[str, str, str]:
    question = item[1]
    return question.form, question.about, question.fill.get("value", "")


def _answer(item: Item) -> str:
    return item[1].answer


def _open(scenes: Sequence[list[Told]], least: int) -> list[Item]:
    """All that the rules ask."""
    found: list[Item] = []
    for photo, captions in enumerate(scenes):
        for question in (
            *colours(captions, least), *numbers(captions), *objects(captions), *where(captions), *doing(captions),
        ):  # fmt: skip
            found.append((photo, question))
    return found


def _yes_no(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Of every open question whose type is in `YES_NO` one that asks for its answer, or for another of its form."""
    answers: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for item in items:
        answers[_form(item)].append(item[1].answer)
    close = w.CLOSE_COLOURS | w.CLOSE_ACTIONS
    found = []
    for photo, question in items:
        if question.type not in YES_NO:
            continue
        value, answer = question.answer, "yes"
        if rng.random() < 0.5:
            value, answer = str(rng.choice(answers[_form((photo, question))])), "no"
            parts = set(value.split(" and ")) & set(question.answer.split(" and "))
            if parts or frozenset((value, question.answer)) in close:
                continue
        fill = {**question.fill, "value": value}
        found.append((photo, replace(question, form=YES_NO[question.type], answer=answer, fill=fill)))
    return found


def _exist(
    scenes: Sequence[list[Told]],
    things: Sequence[str],
    lifts: Mapping[str, Mapping[str, float]],
    rng: np.random.Generator,
) -> list[Item]:
    """As many pictures with a thing, as two captions tell, as without, of those where it would fit best."""
    counts = [named(captions) for captions in scenes]
    found = []
    for thing in things:
        there = [photo for photo, own in enumerate(counts) if own[thing] >= 2]
        missing = absent(scenes, thing)
        missing.sort(key=lambda photo: -fits(scenes[photo], thing, lifts))
        n = min(len(there), len(missing) // 2, round(MOST * len(scenes)))
        for answer, photos in (("yes", there), ("no", missing[: 3 * n])):
            for photo in sorted(rng.permutation(len(photos))[:n]):
                found.append((photos[photo], Question("exists", "exists", thing, answer)))
    return found


def shares(pairs: Sequence[Pair]) -> dict[str, float]:
    """Of every type, how often the most frequent answer of a question's form is right: what a good guess scores."""
    forms: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    kinds = {}
    for pair in pairs:
        key = _form((pair.photo, pair.question))
        forms[key][pair.answer] += 1
        kinds[key] = pair.type
    right: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for key, counts in forms.items():
        right[kinds[key]] += max(counts.values())
        every[kinds[key]] += counts.total()
    return {kind: right[kind] / every[kind] for kind in TYPES if every[kind]}
