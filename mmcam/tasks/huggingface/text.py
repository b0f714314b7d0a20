"""Between a tokenizer's tokens and the words of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcam.engine import ExplainError


def words_of(tokenizer: Any, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
    """The words that tokens spell, each with the positions of its tokens; punctuation marks are words of their own.

    A hyphen or an apostrophe inside a word is none: "t-shirt" is one word, as people ask for it.

    Read off by decoding one token more at a time: a token that adds a blank or begins the text begins a word. Tokens
    that complete a character only together belong together.
    """
    words: list[tuple[str, list[int]]] = []
    before, waiting = "", []
    for i in range(len(tokens)):
        text = tokenizer.decode(tokens[: i + 1], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        waiting.append(i)
        if text.endswith("\ufffd") and i + 1 < len(tokens):  # half a character
            continue
        # A decoder may change the end of what it said before, as some cut blanks; what both share counts as old.
        shared = next(
            (j for j, (a, b) in enumerate(zip(before, text, strict=False)) if a != b), min(len(before), len(text))
        )
        added = text[shared:]
        mark = bool(added.strip()) and _is_mark(added) and added not in _JOINING
        begins = not words or added[:1].isspace() or before[-1:].isspace() or mark or _is_mark(words[-1][0])
        if begins and added.strip():
            words.append((added.strip(), waiting))
        elif words:
            words[-1] = (words[-1][0] + added.rstrip(), words[-1][1] + waiting)
        else:
            continue  # nothing is spelled yet: these tokens belong to the first word
        before, waiting = text, []
    return words


_JOINING = ("-", "'", "’")  # inside a word: t-shirt, dog's


def _is_mark(word: str) -> bool:
    return not any(character.isalnum() for character in word)


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without special ones.

    Raises:
        ExplainError: it has none.
    """
    tokens = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not tokens:
        raise ExplainError(f"The tokenizer finds no token in {text!r}.")
    return tokens


def without_specials(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Generated tokens up to the first end, without special tokens."""
    special = set(tokenizer.all_special_ids)
    end = tokenizer.eos_token_id
    out = []
    for row in rows:
        body = [int(token) for token in row]
        kept: list[int] = []
        for token in body:
            if token == end and kept:
                break
            if token not in special:
                kept.append(token)
        out.append(kept)
    return out
