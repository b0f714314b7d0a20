"""The noun phrases of a caption whose noun is known: "two black and white dogs" is dogs, two, black and white.

No grammar is needed: from a known noun one goes left over what may stand before it, to the determiner or the number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from mmcam.datasets.visual_words import plural

from . import words as w

TABLE: Final = Path(__file__).with_name("things.csv")
LONGEST: Final = 4  # words of a noun
IRREGULAR: Final = {
    **{
        "man": "men",
        "woman": "women",
        "child": "children",
        "person": "people",
        "policeman": "policemen",
        "calf": "calves",
    },
    **{
        "businessman": "businessmen",
        "fisherman": "fishermen",
        "old man": "old men",
        "goose": "geese",
        "wolf": "wolves",
    },
    **{
        "scarf": "scarves",
        "fireman": "firemen",
        "sheep": "sheep",
        "fish": "fish",
        "goat": "goats",
        "couple": "couples",
    },
}
ALWAYS_PLURAL: Final = w.words_of(
    "people cattle others spectators pants trousers jeans shorts trunks goggles sunglasses glasses leggings overalls"
)
MANY: Final = w.words_of("couple family crowd audience team band group pair flock herd bouquet")
"""Singular words for several."""


@dataclass(frozen=True)
class Thing:
    """A thing that captions name: its kind, the words for it, and words that hint that it may be there unnamed."""

    name: str
    kind: str
    words: tuple[str, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption.

    Attributes:
        thing: its name.
        word: the noun as it stands there.
        start, end: its words, determiner and all.
        plural: whether there are several.
        number: how many; None for "some", "the dogs", "a group of".
        new: whether it names something not named before: "a dog", not "the dog".
        colour: a colour, two as "black and white", "mixed", or "" where none is told.
    """

    thing: str
    word: str
    start: int
    end: int
    plural: bool
    number: int | None
    new: bool
    colour: str


@cache
def things() -> dict[str, Thing]:
    """All of the table, by name."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [(row["name"], row["kind"], row["words"], row["hints"]) for row in csv.DictReader(file)]
    return {
        name: Thing(name, kind, tuple(words.split("; ")), tuple(filter(None, hints.split("; "))))
        for name, kind, words, hints in rows
    }


@cache
def nouns() -> dict[str, tuple[str, bool]]:
    """Every noun of the table, singular and plural → its thing and whether it is plural."""
    found: dict[str, tuple[str, bool]] = {}
    for thing in things().values():
        for noun in thing.words:
            found.setdefault(noun, (thing.name, noun in ALWAYS_PLURAL or noun in MANY))
    for thing in things().values():
        for noun in thing.words:
            head, _, last = noun.rpartition(" ")
            many = f"{head} {IRREGULAR[last]}".strip() if last in IRREGULAR else IRREGULAR.get(noun, plural(noun))
            found.setdefault(many, (thing.name, True))
    return found


def tokens(caption: str) -> list[str]:
    """The words of a caption in lower case; commas stay, "man's" becomes "man 's"."""
    return re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*|'s|,", caption.lower().replace("’", "'"))


def phrases(caption: Sequence[str]) -> list[Phrase]:
    """The phrases of a caption, from its tokens, in order."""
    found: list[Phrase] = []
    place = 0
    while place < len(caption):
        for length in range(min(LONGEST, len(caption) - place), 0, -1):
            noun = " ".join(caption[place : place + length])
            if noun in nouns() and not _is_other(caption, place, length):
                found.append(_phrase(caption, place, place + length, noun, found[-1].end if found else 0))
                place += length - 1
                break
        place += 1
    return found


def _is_other(caption: Sequence[str], place: int, length: int) -> bool:
    """Whether the noun is a verb here ("swings on"), or stands before another one ("dog house", "snow man")."""
    before = caption[place - 1] if place else ""
    noun = " ".join(caption[place : place + length])
    after = caption[place + length] if place + length < len(caption) else ""
    if (
        length == 1
        and noun in w.AMBIGUOUS
        and not (
            before in w.SINGLE | w.DEFINITE | w.VAGUE | w.MODIFIERS | w.MIXED
            or before in w.COLOURS
            or before in w.NUMBERS
        )
    ):
        return before not in w.PREPOSITIONS
    if after == "of" and noun in MANY:  # "a group of people" names people, "a couple of dogs" dogs
        return True
    return after in COMPOUND or (after in nouns() and after not in w.AMBIGUOUS and _is_compound(noun, after))


COMPOUND: Final = w.words_of(
    "house park course field court game match team track race competition trail trick stop station show shop store "
    "stand tail face head mouth ears ear nose paw bank side top edge haired covered filled gun lot seat tank hole "
    "bottle neck fight sale land man men angel suit board cone ball balls bowl cage door frame horse net painting "
    "food hydrant board paddle oars skirt sign"
)
"""Nouns that, right after another, name a thing of their own."""


def _is_compound(noun: str, after: str) -> bool:
    """Whether two known nouns in a row are one thing, the second: "water bottle", but not "girl dogs" in a list."""
    return things()[nouns()[noun][0]].kind not in ("person",)


def _phrase(caption: Sequence[str], first: int, end: int, noun: str, least: int) -> Phrase:
    """The phrase of the noun at `first`..`end`; what stands before `least` belongs to another."""
    thing, many = nouns()[noun]
    start, colours, mixed = first, [], False
    while start > least:
        word = caption[start - 1]
        follows = start < first and (caption[start] in w.COLOURS or caption[start] in w.MIXED)
        joins = (
            word in ("and", ",")
            and follows
            and start - 2 >= least
            and (caption[start - 2] in w.COLOURS or (word == "," and caption[start - 2] in w.MODIFIERS))
        )
        if word in w.COLOURS:
            colours.append(w.COLOURS[word])
        elif word in w.MIXED:
            mixed = True
        elif not (
            joins
            or word in w.MODIFIERS
            or (word == "," and start < first and start - 2 >= least and caption[start - 2] in w.MODIFIERS)
        ):
            break
        start -= 1
    colour = "mixed" if mixed or len(set(colours)) > 2 else " and ".join(sorted(set(colours)))
    before = caption[start - 1] if start > least else ""
    number: int | None = None if many else 1
    new = before not in w.DEFINITE
    if before in w.NUMBERS:
        number, start = w.NUMBERS[before], start - 1
    elif before in w.VAGUE or (before == "of" and start > 1 and caption[start - 2] in w.VAGUE):
        number, start = None, start - 1
    elif before == "of" and start > 1 and caption[start - 2] in ("couple", "pair", "trio"):
        number, start = w.NUMBERS[caption[start - 2]], start - 2
    elif before in w.SINGLE or before in w.DEFINITE or before.isdigit():
        number, start = (int(before) if before.isdigit() and len(before) < 3 else number), start - 1
        while start > least and caption[start - 1] in w.DEFINITE:  # "the man 's dog", "the other"
            start -= 1
        if start > least and before == "other" and caption[start - 1] in w.NUMBERS:
            number, start = w.NUMBERS[caption[start - 1]], start - 1
    if noun in ("couple", "pair"):
        number = 2
    return Phrase(thing, noun, start, end, many, number, new or before == "other", colour)
