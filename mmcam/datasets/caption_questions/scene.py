"""What the captions of one photograph tell, each by itself: things, colours, actions, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from . import words as w
from .phrases import Phrase, phrases, things, tokens

ALIVE = ("person", "animal")


@dataclass(frozen=True)
class Told:
    """A caption: its tokens and its phrases."""

    tokens: tuple[str, ...]
    phrases: tuple[Phrase, ...]

    def of_kind(self, *kinds: str) -> list[Phrase]:
        """The phrases of things of some kinds."""
        return [phrase for phrase in self.phrases if things()[phrase.thing].kind in kinds]

    def of(self, thing: str) -> list[Phrase]:
        """The phrases of a thing."""
        return [phrase for phrase in self.phrases if phrase.thing == thing]

    @cached_property
    def runs(self) -> frozenset[str]:
        """All of its words, and of up to four words in a row."""
        count = len(self.tokens)
        return frozenset(" ".join(self.tokens[i:j]) for i in range(count) for j in range(i + 1, min(i + 5, count + 1)))

    def says(self, words: Iterable[str]) -> bool:
        """Whether any of some words or phrases, of four words at most, stands in it."""
        return not self.runs.isdisjoint(words)


def scene(captions: Sequence[str]) -> list[Told]:
    """The captions of a photograph, read."""
    rows = [tokens(caption) for caption in captions]
    return [Told(tuple(row), tuple(phrases(row))) for row in rows]


def agreed(votes: Sequence[Collection[str]], least: int, close: Collection[frozenset[str]] = ()) -> str | None:
    """What at least `least` captions say and none contradicts; None if there is no such thing.

    Args:
        votes: what each caption says, nothing or several things.
        close: pairs that do not contradict each other, as long as the first is said more often.
    """
    counts = Counter(vote for own in votes for vote in set(own))
    if not counts:
        return None
    (best, most), *others = counts.most_common()
    if most < least or any(count == most or frozenset((best, other)) not in close for other, count in others):
        return None
    return best


def subject(told: Told) -> Phrase | None:
    """Who or what a caption is about: the first person or animal in it."""
    return next(iter(told.of_kind(*ALIVE)), None)


def actions(told: Told) -> list[tuple[str, str]]:
    """(who, action) for every form of an action in a caption: who is the last person or animal named before it."""
    found = []
    alive = told.of_kind(*ALIVE)
    inside = {place for phrase in told.phrases for place in range(phrase.start, phrase.end)}
    for place, word in enumerate(told.tokens):
        before = [phrase for phrase in alive if phrase.end <= place]
        if not before or place in inside:
            continue
        found += [(before[-1].thing, action) for action in _ACTIONS_OF.get(word, ())]
    return found


def places(told: Told) -> list[str]:
    """The places a caption names after a preposition of place: "on the wet beach"."""
    found = []
    for first, word in enumerate(told.tokens):
        if word not in w.AT:
            continue
        start = first + 1
        while start < len(told.tokens) and told.tokens[start] in _BEFORE_PLACES:
            start += 1
        nouns = (" ".join(told.tokens[start : start + length]) for length in (3, 2, 1))
        noun = next((noun for noun in nouns if noun in _PLACE_OF or noun in _NO_PLACES), "")
        if noun in _PLACE_OF:
            found.append(_PLACE_OF[noun])
    return found


_ACTIONS_OF = {
    form: [action for action, forms in w.ACTIONS.items() if form in forms]
    for form in frozenset[str]().union(*w.ACTIONS.values())
}
_NO_PLACES = {"swing set", "rock wall", "beach ball", "snow suit", "water bottle"}
_PLACE_OF = {noun: name for name, nouns in w.PLACES.items() for noun in nouns}
_BEFORE_PLACES = (
    w.SINGLE
    | w.DEFINITE
    | w.MODIFIERS
    | frozenset(w.COLOURS)
    | frozenset(("some", "of", "top", "the", "middle", "front"))
) - {"track"}
