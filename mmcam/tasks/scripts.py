"""Where words begin and end, in scripts with blanks and without, and what is one character to a reader."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3000, 0x30FF),  # punctuation, Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Chinese characters
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF),  # full and half widths
    (0x20000, 0x3FFFF),
)
"""Code points of scripts that put no blanks between words."""

_ZWJ = 0x200D
_KEYCAP = 0x20E3
_VARIATIONS = range(0xFE00, 0xFE10)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_FLAG_TAGS = range(0xE0020, 0xE0080)


def unspaced(character: str) -> bool:
    """Whether a character is of a script that puts no blanks between words: Chinese, Japanese, Thai …"""
    return bool(character) and any(start <= ord(character) <= end for start, end in _UNSPACED)


def goes_on(before: str, after: str) -> bool:
    """Whether what comes after a text belongs to its last character, as a reader sees it (Unicode's UAX 29).

    So accents and vowel signs, the parts of an emoji that are joined, its skin tone, and the two letters of a flag.
    """
    if not before or not after:
        return False
    first = ord(after[0])
    if unicodedata.category(after[0]).startswith("M") or first in (_ZWJ, _KEYCAP):
        return True
    if first in _VARIATIONS or first in _SKIN_TONES or first in _FLAG_TAGS or ord(before[-1]) == _ZWJ:
        return True
    letters = 0
    for character in reversed(before):
        if ord(character) not in _FLAG_LETTERS:
            break
        letters += 1
    return first in _FLAG_LETTERS and letters % 2 == 1


def sentence(words: Sequence[str]) -> str:
    """Words as one text, with blanks between them where their script has some."""
    text = ""
    for word in words:
        together = not text or (unspaced(text[-1]) and unspaced(word[:1]))
        text += word if together else f" {word}"
    return text


def run_at(words: Sequence[str], start: int, wanted: str) -> int | None:
    """How many words from `start` on spell a phrase without blanks together; None if they do not.

    Args:
        words: of a text.
        start: a position.
        wanted: a phrase of a script without blanks, small letters like those of `words`.
    """
    spelt = ""
    for count, word in enumerate(words[start:], start=1):
        spelt += word
        if spelt == wanted:
            return count
        if not wanted.startswith(spelt):
            return None
    return None
