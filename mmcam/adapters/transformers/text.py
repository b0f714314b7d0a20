"""Between a tokenizer's tokens and the words of a text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.tasks.captioning import pad
from mmcam.tasks.scores import token_log_probs
from mmcam.tasks.scripts import goes_on, unspaced


class Wording:
    """The part of a captioner (`mmcam.Captioner`) that follows from its tokenizer and its logits."""

    tokenizer: Any
    longest: int | None = None  # tokens of a caption, where the model has positions for no more

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        raise NotImplementedError

    @property
    def ends(self) -> Collection[int]:
        """The tokens that end what the model writes."""
        raise NotImplementedError

    def generate(self, x: Tensor) -> list[list[int]]:
        """The caption of the model's own generation settings."""
        return [without_end(row, self.ends) for row in self.generated(x)]

    @torch.no_grad()
    def beams(self, x: Tensor, beam: int) -> list[list[tuple[list[int], float]]]:
        """The `beam` likeliest captions for each of the pictures x (N,C,H,W) that the model's beam search finds.

        The search is transformers' own, four times as wide as captions are asked for, without a bonus for length; what
        else the model's generation settings say holds. Each comes with its log-probability, which is that of all its
        tokens and the end, by a pass of its own over them; so the order is that of the model's probabilities, whatever
        the search counted.
        """
        rows = self.generated(
            x, num_beams=4 * beam, num_return_sequences=beam, do_sample=False, length_penalty=0.0, early_stopping=False
        )
        each = [list(map(tuple, rows[n * beam : (n + 1) * beam])) for n in range(len(x))]
        found: list[list[tuple[list[int], float]]] = [[] for _ in x]
        for place in range(beam):
            said = [own[place] for own in each]
            tokens = pad(said, x.device)
            for n, log_probs in enumerate(self.token_log_probs(x.clone(), tokens)):
                score = float(log_probs[: len(said[n])].double().sum())
                if said[n] not in each[n][:place]:
                    found[n].append((without_end(said[n], self.ends), score))
        return [sorted(own, key=lambda caption: -caption[1]) for own in found]

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

    def encode_run(self, phrase: str) -> list[int]:
        """The tokens of a phrase that stands behind words of a script without blanks; ExplainError if it has none."""
        return tokens_behind(self.tokenizer, "。", phrase)

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words the tokens spell."""
        return words_of(self.tokenizer, tokens)


def words_of(tokenizer: Any, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
    """The words that tokens spell, each with the positions of its tokens; punctuation marks are words of their own.

    A hyphen or an apostrophe inside a word is none: "t-shirt" is one word, as people ask for it.

    Read off by decoding one token more at a time: a token that adds a blank or begins the text begins a word, and one
    of a script without blanks is a word. Tokens that complete a character only together belong together, also one that
    a reader sees as one, as an emoji of several; and tokens that spell nothing belong to the word after them.
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
        if not words or (_begins(before, added, _text(words[-1])) and not goes_on(before, added)):
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


def _begins(before: str, added: str, word: str) -> bool:
    """Whether what a token adds to a text begins a word, after a word."""
    blank = added[:1].isspace() or before[-1:].isspace()
    mark = (_is_mark(added) and added not in _JOINING) or _is_mark(word)
    return blank or mark or unspaced(added[:1]) or unspaced(before[-1:])


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
    return tokens_behind(tokenizer, "a", f" {text}")


def tokens_behind(tokenizer: Any, before: str, text: str) -> list[int]:
    """The tokens of a text as it goes on behind another, as far as the other one's stay the same; else its own.

    Raises:
        ExplainError: it has none.
    """
    try:
        word = tokens_of(tokenizer, before)
    except ExplainError:  # it cannot write the other one
        return tokens_of(tokenizer, text)
    both = tokens_of(tokenizer, before + text)
    tokens = both[len(word) :] if both[: len(word)] == word else tokens_of(tokenizer, text.strip())
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
    return [without_end(row, ends) for row in with_end(rows, ends, skip)]


def with_end(rows: Tensor, ends: Collection[int], skip: int = 1) -> list[list[int]]:
    """The same with the end, where there is one."""
    out = []
    for row in rows[:, skip:].tolist():
        stop = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
        out.append(row[:stop])
    return out


def without_end(row: Sequence[int], ends: Collection[int]) -> list[int]:
    """Tokens without the end, if they have one."""
    return list(row[:-1]) if len(row) and row[-1] in ends else list(row)


def ends_of(*found: Any) -> tuple[int, ...]:
    """The end tokens from the first setting that names any: a number or a list of them."""
    first = next((end for end in found if end is not None), ())
    return (first,) if isinstance(first, int) else tuple(first)


def behind(start: int, tokens: Tensor) -> Tensor:
    """What the model has read before each of the tokens (R, L): the start and all tokens but the last, (R, L)."""
    return torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], dim=1)
