"""Fonts that have the characters of a text: those matplotlib is told to use, then any that is installed."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

PREFERRED = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic"),
    *("WenQuanYi Micro Hei", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai"),
    *("Noto Sans Devanagari", "Tahoma", "Leelawadee UI", "Nirmala UI", "Noto Emoji", "Segoe UI Emoji", "Symbola"),
)
"""Asked first where the usual font lacks a character, so that neighbouring characters come from one good font."""

# Fonts that have a box for every character.
_EMPTY = ("lastresort", "last resort", "adobe blank", "adobenotdef")

_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH"}


@dataclass(frozen=True)
class Fonts:
    """Fonts for the texts of a figure.

    Attributes:
        families: matplotlib's list of fallbacks.
        usual: the user's own fonts have every character, so that there are weights to choose from.
        complete: every character has a glyph.
    """

    families: tuple[str, ...]
    usual: bool
    complete: bool

    @contextmanager
    def told(self) -> Iterator[None]:
        """While texts are measured and drawn, matplotlib does not repeat what `fonts_for` has said once."""
        if self.complete:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Fonts that together have a glyph for every character; the user's own first (``rcParams["font.family"]``).

    Where no installed font has a character, a warning says so once and names a font that would.
    """
    from matplotlib import rcParams

    usual = list(dict.fromkeys([*rcParams["font.family"], "DejaVu Sans"]))
    missing = {ord(character) for text in texts for character in clean(text) if _is_drawn(character)}
    for family in usual:
        missing -= _characters(family)
    more: list[str] = []
    for again in (False, True):
        if missing and again:
            _find_new()
        for family, path in _installed() if missing else ():
            if missing & (has := _characters_of(path)):
                more.append(family)
                missing -= has
            if not missing:
                break
    if missing:
        _warn(frozenset(missing))
    return Fonts((*usual, *more), not more and not missing, not missing)


def clean(text: str) -> str:
    """A text as it can be set: line breaks and control characters are blanks, half a surrogate pair is "�"."""
    kinds = {character: unicodedata.category(character) for character in set(text)}
    drawn = {"Cc": " ", "Zl": " ", "Zp": " ", "Cs": "\N{REPLACEMENT CHARACTER}"}
    return " ".join("".join(drawn.get(kinds[character], character) for character in text).split())


def _is_drawn(character: str) -> bool:
    """Whether a character has a glyph; joiners and variation selectors have none of their own."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") and not (
        0xFE00 <= ord(character) <= 0xFE0F
    )


def _installed() -> list[tuple[str, str]]:
    """Families and files of the installed fonts of usual weight, the preferred ones first."""
    from matplotlib.font_manager import fontManager

    files = {
        font.name: str(font.fname)
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal", "regular", "book")
    }
    usable = [name for name in sorted(files) if not any(empty in name.lower() for empty in _EMPTY)]
    ordered = [*(name for name in PREFERRED if name in files), *(name for name in usable if name not in PREFERRED)]
    return [(name, files[name]) for name in ordered]


def _characters(family: str) -> frozenset[int]:
    """The characters that the font chosen for a family has."""
    from matplotlib.font_manager import FontProperties, fontManager

    try:
        return _characters_of(str(fontManager.findfont(FontProperties(family=[family]), fallback_to_default=False)))
    except ValueError:  # no such family
        return frozenset()


@cache
def _characters_of(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a broken file, or one of bitmaps
        return frozenset()


@cache
def _find_new() -> None:
    """Tell matplotlib of fonts that were installed after it had made its list of them."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError, ValueError):  # broken, or of bitmaps
            continue


@cache
def _warn(missing: frozenset[int]) -> None:
    """Say once which characters are drawn as boxes, and what would help."""
    some = sorted(missing)[:8]
    shown = ", ".join(f"{chr(code)!r} (U+{code:04X})" for code in some) + (" …" if len(missing) > len(some) else "")
    remedies = ", ".join(sorted({_remedy(chr(code)) for code in missing})[:4])
    warnings.warn(
        f"No installed font has {shown}, so a figure shows boxes there; install {remedies} or another font that has.",
        stacklevel=3,
    )


def _remedy(character: str) -> str:
    """A free font that has a character."""
    script = unicodedata.name(character, "").partition(" ")[0].partition("-")[0]
    if script in _EAST_ASIAN:
        return "“Noto Sans CJK”"
    if unicodedata.category(character) in ("So", "Sk") or not script:
        return "“Noto Emoji”"
    return f"“Noto Sans {script.title()}”"
