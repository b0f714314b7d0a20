"""Words of captions that name one of COCO's eighty categories: "surfer" is a person, "hot dog" is no dog.

The table visual_words.csv has a line a category: its names, synonyms, kinds and common misspellings, of one word or
several, in the singular where the plural is a regular one. Its last line, of no category, has phrases that hold such a
word and name something else, as "train station". What may be several categories ("glass", "board") is left out.

A per-word pointing experiment needs such a list (Selvaraju et al., arXiv 1610.02391, map 830 visual words to the eighty
categories); this one is not theirs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Named:
    """A word or phrase that names a category.

    Attributes:
        position: of its noun among the caption's words: "hydrant" in "fire hydrant", "glass" in "glass of wine".
        phrase: as it stands in the table, or its plural.
        category: COCO's name.
    """

    position: int
    phrase: str
    category: str


def named(words: Sequence[str]) -> list[Named]:
    """The words and phrases of a caption that name a category, in order.

    Args:
        words: of the caption, without punctuation; case does not matter. Of phrases that begin at a word the longest
            counts, and its words are not looked at again.
    """
    spoken, known, found = [word.lower() for word in words], categories(), []
    start = 0
    while start < len(spoken):
        length, phrase = next(_phrases(spoken, start, known), (1, ""))
        if known.get(phrase):
            found.append(Named(start + noun(phrase.split()), phrase, known[phrase]))
        start += length
    return found


@cache
def categories() -> Mapping[str, str]:
    """The category of every word and phrase of the table and of their plurals; "" for one that names none."""
    found: dict[str, str] = {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for phrase in row["words"].split("; "):
                for form in (phrase, plural(phrase)):
                    found.setdefault(form, row["category"])
    return found


@cache
def _longest() -> int:
    """Words of the longest phrase."""
    return max(len(phrase.split()) for phrase in categories())


def noun(phrase: Sequence[str]) -> int:
    """The place of a phrase's noun: before "of", else last."""
    return phrase.index("of") - 1 if "of" in phrase else len(phrase) - 1


def plural(phrase: str) -> str:
    """The regular English plural: "bus" → "buses", "puppy" → "puppies", "glass of wine" → "glasses of wine"."""
    words = phrase.split()
    place = noun(words)
    word = words[place]
    if word.endswith(("s", "x", "ch", "sh")):
        many = f"{word}es"
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        many = f"{word[:-1]}ies"
    else:
        many = f"{word}s"
    return " ".join([*words[:place], many, *words[place + 1 :]])


def _phrases(words: Sequence[str], start: int, known: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Length and text of the known phrases that begin at a word, the longest first."""
    for length in range(min(_longest(), len(words) - start), 0, -1):
        phrase = " ".join(words[start : start + length])
        if phrase in known:
            yield length, phrase
