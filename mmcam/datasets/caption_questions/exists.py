""" "Is there a dog?": yes where people say so, no where none of five does, though it would fit.

A picture without the word may yet show the thing. So only things are asked for that people seldom leave out, as the
training captions tell (`kept`): of one thing that a caption names, what share of the other four name it, too. And "no"
needs that no caption holds any of the thing's words or of its hints, which are kinds of it, what it may be called, and
what comes with it: a "rider" may have a horse.

"No" is hard: it is asked where the thing is likely by what else is named (`likely`), not of a surfer's picture whether
there is a couch.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from .phrases import nouns, things
from .scene import Told

SELDOM_LEFT_OUT: Final = 0.4
SUPPORT: Final = 12  # pictures of training in which two captions name the thing
NOT_ASKED: Final = frozenset(("animal", "outfit", "toy", "stairs", "hair", "collar", "leash", "wall", "hurdle", "tree"))


def named(captions: Sequence[Told]) -> Counter[str]:
    """How many captions name each thing."""
    return Counter(thing for told in captions for thing in {phrase.thing for phrase in told.phrases})


def kept(scenes: Sequence[Sequence[Told]]) -> dict[str, float]:
    """Of every thing that people seldom leave out, the share of other captions that name it where one does."""
    pairs: Counter[str] = Counter()
    both: Counter[str] = Counter()
    sure: Counter[str] = Counter()
    for captions in scenes:
        for thing, n in named(captions).items():
            pairs[thing] += n * (len(captions) - 1)
            both[thing] += n * (n - 1)
            sure[thing] += n >= 2
    shares = {thing: both[thing] / pairs[thing] for thing in pairs if sure[thing] >= SUPPORT and pairs[thing]}
    return {t: share for t, share in sorted(shares.items()) if share >= SELDOM_LEFT_OUT and t not in NOT_ASKED}


def absent(scenes: Sequence[Sequence[Told]], thing: str) -> list[int]:
    """The photographs, by number, of which no caption names the thing or hints at it."""
    known = things()[thing]
    kinds = {thing, *known.hints}
    if known.kind == "person" and thing != "person":  # a rider may be a man
        kinds.add("person")
    words = {noun for noun, (name, _) in nouns().items() if name in kinds} | set(known.hints)
    return [photo for photo, captions in enumerate(scenes) if not any(told.says(words) for told in captions)]


def likely(scenes: Sequence[Sequence[Told]]) -> Mapping[str, Mapping[str, float]]:
    """Of every two things the logarithm of how much more often they are named of one picture than by chance."""
    alone: Counter[str] = Counter()
    together: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for captions in scenes:
        there = sorted(named(captions))
        alone.update(there)
        for thing in there:
            together[thing].update(other for other in there if other != thing)
    return {
        thing: {
            other: math.log((together[thing][other] + 0.5) * len(scenes) / (alone[thing] * alone[other] + 1))
            for other in alone
        }
        for thing in alone
    }


def fits(captions: Sequence[Told], thing: str, lifts: Mapping[str, Mapping[str, float]]) -> float:
    """How likely a thing is by what else the captions name: the mean of their lifts."""
    own = lifts.get(thing, {})
    found = [own[other] for other in named(captions) if other in own]
    return sum(found) / len(found) if found else -math.inf
