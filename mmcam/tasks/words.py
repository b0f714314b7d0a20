"""Words of a caption: find them, put another in their place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from mmcam.errors import ExplainError

Span = range
"""Positions of neighbouring words in a caption."""


def find_span(words: Sequence[str], wanted: str | int, position: int | None = None) -> Span | None:
    """Where a word or phrase stands in a caption.

    Args:
        words: the words of the caption.
        wanted: a word, a phrase of neighbouring words, or a position (negative from the end). Spelling comes first,
            then the stem (Porter's, through NLTK), so that "dogs" finds "dog".
        position: which occurrence, by the position of its first word; default the first.

    Returns:
        The positions, or None if the words are not there.

    Raises:
        ExplainError: a position outside the caption; an empty word.
    """
    if isinstance(wanted, int):
        return range(p := _inside(wanted, words), p + 1)
    query = wanted.split()
    if not query:
        raise ExplainError(f"An empty word cannot be explained; the caption is {' '.join(words)!r}.")
    first = None if position is None else _inside(position, words)
    for form in (str.casefold, _stem):
        for start in range(len(words) - len(query) + 1):
            same = [form(w) for w in words[start : start + len(query)]] == [form(q) for q in query]
            if same and first in (None, start):
                return range(start, start + len(query))
    return None


def word_missing(words: Sequence[str], wanted: str) -> ExplainError:
    """The error for a word the caption does not hold: it shows the caption and the nearest of its words."""
    near = difflib.get_close_matches(wanted.casefold(), [w.casefold() for w in words], n=3, cutoff=0.5)
    hint = f"the nearest of its words: {', '.join(near)}" if near else f"its words: {', '.join(dict.fromkeys(words))}"
    return ExplainError(
        f"The caption {' '.join(words)!r} has no {wanted!r} ({hint}); choose one of them, or say with position= "
        f"where {wanted!r} is to be scored."
    )


def put(model: Any, row: Sequence[int], span: Span, phrase: str) -> tuple[list[int], Span]:
    """The tokens with another phrase in place of a span of words, and where that phrase stands now."""
    places = model.words(row)
    try:
        # Where a blank is part of a token, a word inside a text has others than one that begins it.
        inside = getattr(model, "encode_inside", None) if span.start else None
        new = list((inside or model.encode)(phrase))
    except ValueError as error:
        raise ExplainError(str(error)) from error
    start, stop = places[span.start][1][0], places[span.stop - 1][1][-1] + 1
    tokens = [*row[:start], *new, *row[stop:]]
    return tokens, range(span.start, span.start + len(model.words(new)))


def _inside(position: int, words: Sequence[str]) -> int:
    if not -len(words) <= position < len(words):
        raise ExplainError(
            f"The caption {' '.join(words)!r} has positions 0…{len(words) - 1}; there is no position {position}."
        )
    return position % len(words)


def _stem(word: str) -> str:
    from nltk.stem.porter import PorterStemmer

    stem: str = PorterStemmer().stem(word)
    return stem
