"""Between a tokenizer's tokens and the words of a text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.tasks.scores import token_log_probs


class Wording:
    """The part of a captioner (`mmcam.Captioner`) that follows from its tokenizer and its logits."""

    tokenizer: Any

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax at the places of the tokens (R,L)."""
        raise NotImplementedError

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """log p(token | picture, tokens before it), (R,L)."""
        return token_log_probs(self.token_logits(x, tokens), tokens)

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption; ExplainError if it has none."""
        return tokens_of(self.tokenizer, caption)

    def encode_inside(self, phrase: str) -> list[int]:
        """The tokens of a phrase that stands behind other words; ExplainError if it has none."""
        return tokens_inside(self.tokenizer, phrase)

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words the tokens spell."""
        return words_of(self.tokenizer, tokens)


def words_of(tokenizer: Any, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
    """The words that tokens spell, each with the positions of its tokens; punctuation marks are words of their own.

    A hyphen or an apostrophe inside a word is none: "t-shirt" is one word, as people ask for it.

    Read off by decoding one token more at a time: a token that adds a blank or begins the text begins a word. Tokens
    that complete a character only together belong together, and tokens that spell nothing to the word after them.
    """
    words: list[list[_Piece]] = []
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
        if not added.strip():
            continue
        mark = _is_mark(added) and added not in _JOINING
        if not words or added[:1].isspace() or before[-1:].isspace() or mark or _is_mark(_text(words[-1])):
            words.append([])
        words[-1].append((added.strip(), waiting))
        before, waiting = text, []
    if words:
        words[-1].append(("", waiting))
    words = [part for word in words for part in _without_last_mark(word)]
    return [
        (_text(word), [place for _, places in word for place in places])
        for word in (_joined(words) if _sets_marks_apart(tokenizer) else words)
    ]


_Piece = tuple[str, list[int]]
"""What some tokens of a word add to it, and their positions."""

_JOINING = ("-", "'", "’")  # inside a word: t-shirt, dog's

_CLITICS = frozenset(("s", "t", "d", "m", "re", "ve", "ll", "clock"))


def _text(word: Sequence[_Piece]) -> str:
    return "".join(piece for piece, _ in word)


def _is_mark(word: str) -> bool:
    return not any(character.isalnum() for character in word)


def _without_last_mark(word: list[_Piece]) -> list[list[_Piece]]:
    """A word and the hyphen or apostrophe that closes it instead of joining it to more."""
    if len(word) > 1 and word[-1][0] in _JOINING:
        return [*_without_last_mark(word[:-1]), word[-1:]]
    return [word]


def _sets_marks_apart(tokenizer: Any) -> bool:
    """The tokenizer cuts at marks and forgets the blanks beside them, so that "t-shirt" comes back as "t - shirt"."""
    return " -" in tokenizer.decode(tokenizer("a-a", add_special_tokens=False)["input_ids"])


def _joined(words: list[list[_Piece]]) -> list[list[_Piece]]:
    """Words set apart at a hyphen or at the apostrophe of an English ending put together again."""
    out: list[list[_Piece]] = []
    i = 0
    while i < len(words):
        mark, after = _text(words[i]), _text(words[i + 1]) if i + 1 < len(words) else ""
        ending = mark == "-" or after.casefold() in _CLITICS
        if out and mark in _JOINING and ending and after and not _is_mark(after) and not _is_mark(_text(out[-1])):
            out[-1] = [*out[-1], *words[i], *words[i + 1]]
            i += 2
        else:
            out.append(words[i])
            i += 1
    return out


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without special ones.

    Raises:
        ExplainError: it has none, or a word the tokenizer cannot write.
    """
    tokens = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    unknown = tokenizer.unk_token_id
    if not tokens:
        raise ExplainError(f"The tokenizer finds no token in {text!r}.")
    if unknown is not None and unknown in tokens:
        parts = (word for word in text.split() if unknown in tokenizer(word, add_special_tokens=False)["input_ids"])
        raise ExplainError(f"The model's tokenizer cannot write {next(parts, text)!r}; say it in other words.")
    return tokens


def tokens_inside(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text behind another word: byte-level tokenizers write the blank before it into its first token.

    Raises:
        ExplainError: it has none.
    """
    word = tokens_of(tokenizer, "a")
    both = tokens_of(tokenizer, f"a {text}")
    tokens = both[len(word) :] if both[: len(word)] == word else tokens_of(tokenizer, text)
    if not tokens:
        raise ExplainError(f"The tokenizer finds no token in {text!r}.")
    return tokens


def said(rows: Tensor, ends: Collection[int], skip: int = 1) -> list[list[int]]:
    """What was generated after the start: every token up to the first end, so that probabilities hold as they were.

    Args:
        rows: (N, L), as ``generate`` returns them.
        ends: the end tokens.
        skip: how many tokens of each row were given, not generated.
    """
    out = []
    for row in rows[:, skip:].tolist():
        stop = next((i for i, token in enumerate(row) if token in ends), len(row))
        out.append(row[:stop])
    return out


def ends_of(*found: Any) -> tuple[int, ...]:
    """The end tokens from the first setting that names any: a number or a list of them."""
    first = next((end for end in found if end is not None), ())
    return (first,) if isinstance(first, int) else tuple(first)


def behind(start: int, tokens: Tensor) -> Tensor:
    """What the model has read before each of the tokens (R, L): the start and all tokens but the last, (R, L)."""
    return torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], dim=1)
