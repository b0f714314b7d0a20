"""Captioning: the protocol of a captioner, and words of a caption as targets."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError

Span = range
"""Positions of neighbouring words in a caption."""


@runtime_checkable
class Captioner(Protocol):
    """What a captioner offers, besides being an ``nn.Module``. Tokens are ints; the end token is never among them.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made; ``beams(x, beam)`` gives for each
    picture the best captions with their log-probabilities, [(tokens, log-probability), …], the best first;
    ``encode_inside(phrase)`` the tokens of a phrase behind other words, where they differ from ``encode``'s;
    ``attention(x, tokens)`` its own attention to the regions of the picture before each token, {level: (R,L,h,w)}.
    """

    def generate(self, x: Tensor) -> list[list[int]]:
        """The tokens of one caption for each picture of x (N,C,H,W)."""

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """log p(token | picture, tokens before it), teacher-forced: tokens (R,L) → (R,L).

        R is a multiple of N: the engine repeats the encoder's rows to match, so nothing behind the encoder may take its
        number of rows from x. Captions shorter than L are padded with 0 and their padding is ignored.
        """

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption; ValueError for what the model cannot say."""

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words the tokens spell, in order, each with the positions of its tokens."""


def check_captioner(model: Any) -> None:
    """Raise ExplainError unless the model offers the protocol."""
    missing = [name for name in ("generate", "token_log_probs", "encode", "words") if not hasattr(model, name)]
    if missing:
        raise ExplainError(
            f"{type(model).__name__} is no captioner: it lacks {', '.join(missing)} "
            "(see mmcam.Captioner, about 30 lines)."
        )


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


def caption_tokens(model: Any, x: Tensor, captions: Sequence[str] | None) -> list[list[int]]:
    """The tokens of a caption for each of the pictures x (N,C,H,W): as given, one each, or as the model generates them.

    Raises:
        ExplainError: a caption that the model cannot say, or one without a word.
    """
    if captions is None:
        with as_found(model):
            rows = [list(row) for row in model.generate(x.clone())]  # a copy: it may work in place on its input
    else:
        try:
            rows = [list(model.encode(text)) for text in captions]
        except ValueError as error:
            raise ExplainError(str(error)) from error
    if not all(row and model.words(row) for row in rows):  # tokens may spell nothing but blanks
        raise ExplainError("The caption has no word, so there is nothing to explain; pass one with caption=.")
    return rows


def beam_tokens(model: Any, x: Tensor, beam: int) -> list[list[list[int]]]:
    """The tokens of the best captions of each picture, the likeliest first; those without a word are left out.

    Raises:
        ExplainError: the model has no beam search, or `beam` is no positive number.
    """
    if not hasattr(model, "beams"):
        raise ExplainError(f"{type(model).__name__} has no method `beams`, so it gives one caption; leave beam= out.")
    if not hasattr(beam, "__index__"):
        raise ExplainError(f"A beam holds a whole number of captions, and beam={beam!r} is none; pass for example 3.")
    if beam < 1:
        raise ExplainError(f"A beam of {beam} captions holds none; pass at least 1.")
    with as_found(model):
        found = [
            [list(tokens) for tokens, _ in own if len(tokens) and model.words(tokens)]
            for own in model.beams(x.clone(), beam)
        ]
    if not all(found):
        raise ExplainError(
            "The captions of the beam have no word, so there is nothing to explain; pass one with caption=."
        )
    return found


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


def log_prob_target(mask: Tensor, minus: Tensor | None = None) -> Target:
    """The sum of the log-probabilities of chosen tokens, or its difference to those of a second version of the text.

    Args:
        mask: (N, L), 1 at the tokens of the word, phrase or caption.
        minus: (N, L), 1 at the tokens of the contrast; then the output holds the rows of both versions, (2N, L).
    """

    def score(output: Tensor) -> Tensor:
        said = _chosen_sum(output[: len(mask)], mask)
        return said if minus is None else said - _chosen_sum(output[len(mask) :], minus)

    return score


def pad(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Token lists as one LongTensor (N, L), padded with 0."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], dtype=torch.long, device=device)


def word_attention(levels: Mapping[str, Tensor], masks: Sequence[Tensor]) -> dict[str, Tensor]:
    """A captioner's attention before each token, (N, L, h, w) a level, as that of words: (T, N, h, w) a level.

    Args:
        levels: of the model.
        masks: one (N, L) a word or phrase, 1 at its tokens, over which the mean is taken.
    """
    shares = torch.stack(list(masks))
    shares = shares / shares.sum(2, keepdim=True)
    return {name: torch.einsum("tnl,nlhw->tnhw", shares.to(maps.dtype), maps) for name, maps in levels.items()}


def _chosen_sum(log_probs: Tensor, mask: Tensor) -> Tensor:
    # Filled, not only multiplied: padding may hold -inf, and 0 times that is not 0.
    return (log_probs.masked_fill(mask == 0, 0) * mask).sum(1)


def _inside(position: int, words: Sequence[str]) -> int:
    if not -len(words) <= position < len(words):
        raise ExplainError(
            f"The caption {' '.join(words)!r} has positions 0…{len(words) - 1}; there is no position {position}."
        )
    return position % len(words)


def _stem(word: str) -> str:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem(word)
