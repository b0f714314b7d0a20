"""Noun phrases that mean one thing of a picture and no other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.truth import Thing, Truth


def matching(truth: Truth, kind: str | None, **attributes: str) -> tuple[int, ...]:
    """The things of a kind, or of any, that have these attributes."""
    return tuple(
        i
        for i, thing in enumerate(truth.things)
        if kind in (None, thing.kind) and all(getattr(thing, a) == v for a, v in attributes.items())
    )


def name_of(truth: Truth, index: int, dice: Dice, without: str = "") -> str | None:
    """A noun phrase that means this thing only and does not say its `without`; None if there is none."""
    thing = truth.things[index]
    if matching(truth, thing.kind) == (index,):
        return thing.kind
    ways = [
        f"{getattr(thing, a)} {thing.kind}"
        for a in ("colour", "texture", "scale")
        if a != without and matching(truth, thing.kind, **{a: getattr(thing, a)}) == (index,)
    ]
    return dice.pick(ways) if ways else None


def any_named(truth: Truth, dice: Dice, without: str = "") -> tuple[int, str] | None:
    """A random thing that has a name, and its name."""
    for index in dice.shuffled(range(len(truth.things))):
        name = name_of(truth, index, dice, without)
        if name is not None:
            return index, name
    return None


def named_pair(
    truth: Truth, dice: Dice, apart: Callable[[Thing, Thing], bool], without: str = ""
) -> tuple[int, str, int, str] | None:
    """Two random things that are `apart`, in random order, with their names."""
    for i, j in dice.shuffled(tuple(permutations(range(len(truth.things)), 2))):
        if apart(truth.things[i], truth.things[j]):
            first, second = name_of(truth, i, dice, without), name_of(truth, j, dice, without)
            if first is not None and second is not None:
                return i, first, j, second
    return None
