"""Words of a caption: find them, put another in their place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from mmcam.errors import ExplainError
from mmcam.tasks.names import message_of, short
from mmcam.tasks.scripts import run_at, sentence, unspaced
from mmcam.tasks.targets import whole_number

Span = range
"""Positions of neighbouring words in a caption."""


def check_word(word: Any) -> str | int:
    """A word of a caption, with whole numbers of any type as ints.

    Raises:
        ExplainError: neither text nor position.
    """
    if isinstance(word, str):
        return str(word)
    if (place := whole_number(word)) is None:
        raise ExplainError(f"A word is given as a text or by its position, and {short(word)} is neither.")
    return place


def check_where(position: Any, contrast: Any, alone: bool = True) -> tuple[int | None, str | None]:
    """Where a word is looked for and what might have stood there, with whole numbers of any type as ints.

    Raises:
        ExplainError: a position that is no whole number, or one of several words; a contrast that is no text.
    """
    where = None if position is None else whole_number(position)
    if position is not None and where is None:
        raise ExplainError(f"A position in a caption is a whole number, and position={short(position)} is none.")
    if position is not None and not alone:
        raise ExplainError("position= belongs to one word; of several, give each one's position as the word itself.")
    if contrast is not None and not isinstance(contrast, str):
        raise ExplainError(f"A contrast is a word or phrase as text, and {short(contrast)} is none.")
    return where, contrast


def find_span(words: Sequence[str], wanted: str | int, position: int | None = None) -> Span | None:
    """Where a word or phrase stands in a caption.

    Args:
        words: the words of the caption.
        wanted: a word, a phrase of neighbouring words, or a position (negative from the end). Spelling comes first,
            then the stem (Porter's, through NLTK), so that "dogs" finds "dog". Of a script without blanks between
            words, any characters that are whole words of the caption.
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
        raise ExplainError(f"An empty word cannot be explained; the caption is {short(sentence(words))}.")
    first = None if position is None else _inside(position, words)
    for form in (str.casefold, stem):
        for start in range(len(words) - len(query) + 1):
            same = [form(w) for w in words[start : start + len(query)]] == [form(q) for q in query]
            if same and first in (None, start):
                return range(start, start + len(query))
    whole = "".join(query).casefold()
    if any(map(unspaced, whole)):  # the words of such a script are its tokens, and a phrase is some of them
        folded = [word.casefold() for word in words]
        for start in range(len(words)) if first is None else [first]:
            if (count := run_at(folded, start, whole)) is not None:
                return range(start, start + count)
    return None


def word_missing(words: Sequence[str], wanted: str) -> ExplainError:
    """The error for a word the caption does not hold: it shows the caption and the nearest of its words."""
    near = difflib.get_close_matches(wanted.casefold(), [w.casefold() for w in words], n=3, cutoff=0.5)
    listed = near or list(dict.fromkeys(words))[:20]
    hint = f"{'the nearest of ' if near else ''}its words: {', '.join(word[:80] for word in listed)}"
    return ExplainError(
        f"The caption {short(sentence(words))} has no {short(wanted)} ({hint}); choose one of them, or say with "
        f"position= where {short(wanted)} is to be scored."
    )


def put(model: Any, row: Sequence[int], span: Span, phrase: str) -> tuple[list[int], Span]:
    """The tokens with another phrase in place of a span of words, and where that phrase stands now."""
    places = model.words(row)
    try:
        # Where a blank is part of a token, a word inside a text has others than one that begins it.
        inside = getattr(model, "encode_inside", None) if span.start else None
        if span.start and unspaced(places[span.start - 1][0][-1:]) and unspaced(phrase[:1]):
            inside = getattr(model, "encode_run", None)
        new = list((inside or model.encode)(phrase))
    except ValueError as error:
        raise ExplainError(message_of(error)) from error
    start, stop = places[span.start][1][0], places[span.stop - 1][1][-1] + 1
    tokens = [*row[:start], *new, *row[stop:]]
    return tokens, range(span.start, span.start + len(model.words(new)))


def _inside(position: int, words: Sequence[str]) -> int:
    if not -len(words) <= position < len(words):
        raise ExplainError(
            f"The caption {short(sentence(words))} has positions 0…{len(words) - 1}; there is no position "
            f"{short(position)}."
        )
    return position % len(words)


def stem(word: str) -> str:
    """The stem of a word, by Porter's rules."""
    from nltk.stem.porter import PorterStemmer

    found: str = PorterStemmer().stem(word)
    return found
