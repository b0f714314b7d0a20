"""Captioning: the protocol of a captioner, and words of its captions as targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.kept import Kept, begun
from mmcam.engine.outputs import Target
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks import scores
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.names import message_of, short
from mmcam.tasks.scripts import sentence
from mmcam.tasks.targets import whole_number
from mmcam.tasks.words import Span, find_span, put, word_missing


@runtime_checkable
class Captioner(Protocol):
    """What a captioner offers, besides being an ``nn.Module``. Tokens are ints; the end token is never among them.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made; ``picture_encoder`` is the dotted name
    of the module that sees the pictures and nothing of the texts, each picture by itself: what it gives is then not
    computed twice for one picture (see `mmcam.look`); ``beams(x, beam)`` gives for each
    picture the `beam` likeliest captions it finds with their log-probabilities, [(tokens, log-probability), …], the
    likeliest first (a beam search has to be wider than that: one that carries on only three misses some of the three);
    ``encode_inside(phrase)`` the tokens of a phrase behind other words, where they differ from ``encode``'s, and
    ``encode_run(phrase)`` those behind words of a script without blanks; ``longest`` is how many tokens of a caption
    the model can read;
    ``attention(x, tokens)`` its own attention to the regions of the picture before each token, {level: (R,L,h,w)};
    ``token_activations(x, tokens)`` how high the tokens of a text score at the picture's places, for language models
    that read these among the words, and ``head_attention(x, tokens)`` who attends to them (`mmcam.engine.shown`);
    ``token_logits(x, tokens)`` the scores (R,L,V) of all V tokens, before the softmax, at the place of each token, for
    scores of words other than their log-probability.
    """

    def generate(self, x: Tensor) -> list[list[int]]:
        """The tokens of one caption for each picture of x (N,C,H,W)."""

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """log p(token | picture, tokens before it), teacher-forced: tokens (R,L) → (R,L).

        R is a multiple of N: the engine repeats the encoder's rows to match, so nothing behind the encoder may take its
        number of rows from x. Captions shorter than L are padded with 0 and their padding is ignored. Captions may
        be cut off behind the last token whose log-probability counts.
        """

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption; ValueError for what the model cannot say."""

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words the tokens spell, in order, each with the positions of its tokens."""


@dataclass(frozen=True)
class Caption:
    """The caption of one picture, and what of it is explained.

    Attributes:
        tokens: of the caption.
        spans: of its words, one a target.
        rival: tokens of what might have been said instead, as a whole caption; None without a contrast.
        rival_span: the words in it that stand against the one span.
    """

    tokens: Sequence[int]
    spans: Sequence[Span]
    rival: Sequence[int] | None = None
    rival_span: Span = range(0)

    @property
    def size(self) -> tuple[int, tuple[int, int]]:
        """How many rows it takes behind the encoder, and the lengths of its texts."""
        return len(self.spans) * (1 if self.rival is None else 2), (len(self.tokens), len(self.rival or ()))


def every_word(model: Any, tokens: Sequence[int]) -> Caption:
    """Each word of a caption, and last all of them together."""
    count = len(model.words(tokens))
    return Caption(tokens, [*(range(i, i + 1) for i in range(count)), range(count)])


def one_word(model: Any, tokens: Sequence[int], word: str | int, position: int | None, contrast: str | None) -> Caption:
    """A word or phrase of a caption, or one put where another stood, and perhaps what might have stood there instead.

    Raises:
        ExplainError: the word is not in the caption; the contrast is the word itself.
    """
    words = [text for text, _ in model.words(tokens)]
    span = find_span(words, word, position)
    if span is None and position is not None and isinstance(word, str):
        at = find_span(words, position)
        assert at is not None
        tokens, span = put(model, tokens, at, word)
    if span is None:
        raise word_missing(words, str(word))
    if contrast is None:
        return Caption(tokens, [span])
    rival, rival_span = put(model, tokens, span, contrast)
    if rival == list(tokens):
        raise both_are("phrase" if len(span) > 1 else "word", contrast)
    return Caption(tokens, [span], rival, rival_span)


def several_words(
    model: Any, tokens: Sequence[int], words: Sequence[str | int], position: int | None, contrast: str | None
) -> list[Caption]:
    """Several words of a caption: as one where they stand in the same text, so that they share a pass.

    Raises:
        ExplainError: as `one_word`.
    """
    each = [one_word(model, tokens, word, position, contrast) for word in words]
    if contrast is None and all(own.tokens == each[0].tokens for own in each):
        return [Caption(each[0].tokens, [span for own in each for span in own.spans])]
    return each


def whole(model: Any, tokens: Sequence[int], contrast: str | None) -> Caption:
    """A whole text, and perhaps another whole one against it.

    Raises:
        ExplainError: the model cannot say the contrast; it is the text itself.
    """
    words = [text for text, _ in model.words(tokens)]
    if contrast is None:
        return Caption(tokens, [range(len(words))])
    try:
        rival = list(model.encode(contrast))
    except ValueError as error:
        raise ExplainError(message_of(error)) from error
    rivals = [text for text, _ in model.words(rival)]
    if rivals == words:
        raise both_are("answer", sentence(words))
    return Caption(tokens, [range(len(words))], rival, range(len(rivals)))


def ask(model: Any, batch: Batch, captions: Sequence[Caption], contrast: str | None, score: str = "log_prob") -> Asked:
    """Which part of each picture made the model say words of its caption.

    Args:
        model: a captioner.
        batch: the pictures.
        captions: one a picture; all with a rival, or none.
        contrast: what the rivals say instead.
        score: of a word, a name of `mmcam.tasks.scores.SCORES`.

    Raises:
        ExplainError: no such score, or one that the model's outputs do not give.
    """
    texts = [caption.tokens for caption in captions]
    texts += [caption.rival for caption in captions if caption.rival is not None]
    _check_length(model, texts)
    tokens = pad(texts, batch.x.device)
    places = [model.words(text) for text in texts]

    def mask(span: Span, n: int) -> Tensor:
        chosen = torch.zeros(tokens.shape[1], device=tokens.device)
        chosen[[place for _, of_word in places[n][span.start : span.stop] for place in of_word]] = 1
        return chosen

    n, longest = len(captions), max(len(caption.spans) for caption in captions)
    # Every target is computed for every picture; a caption with fewer words repeats its last span.
    columns = [[caption.spans[min(t, len(caption.spans) - 1)] for caption in captions] for t in range(longest)]
    masks = [torch.stack([mask(span, i) for i, span in enumerate(column)]) for column in columns]
    rivals = [mask(caption.rival_span, n + i) for i, caption in enumerate(captions) if caption.rival is not None]
    minus = torch.stack(rivals) if rivals else None
    # A token's probability is read from those before it, so the model need not read on behind the last that counts.
    end = 1 + max(int(chosen.any(0).nonzero().max()) for chosen in (*masks, *(() if minus is None else (minus,))))
    read = tokens[:, :end]

    token_outputs = scores.token_outputs(model, score)

    def forward(x: Tensor, rows: Rows) -> Tensor:
        return token_outputs(x, rows.spread_tensor(read))

    def label(t: int, i: int, value: float) -> Label:
        words = [text for text, _ in places[i]]
        span, text = captions[i].spans[t], sentence(words)
        phrase = sentence(words[span.start : span.stop])
        claim = scores.claim(score, f"It says {quoted(phrase, contrast)}", quoted(phrase, contrast))
        claim += f" in “{text}”" if phrase != text else ""
        return Label(titled(phrase, contrast), claim, text, score)

    def attention() -> dict[str, Tensor]:
        return word_attention(model.attention(batch.x.clone(), tokens[:n]), masks)

    def shown(what: str) -> Callable[[], list[tuple[Any, Tensor]]] | None:
        read = getattr(model, what, None)
        return read and (lambda: list(zip(read(batch.x.clone(), tokens[:n]), torch.stack(masks, 1), strict=True)))

    rival = None if minus is None else minus[:, :end]
    targets = [word_target(scores.score_of_tokens(score), read, chosen[:, :end], rival) for chosen in masks]
    return Asked(
        batch,
        Computation(model, forward, batch.x, targets, texts=1 if minus is None else 2),
        label,
        [range(len(caption.spans)) for caption in captions],
        language=True,
        attention=attention if hasattr(model, "attention") else None,
        token_activations=shown("token_activations"),
        head_attention=shown("head_attention"),
    )


def _check_length(model: Any, texts: Sequence[Sequence[int]]) -> None:
    """Raise ExplainError for a text that has more tokens than the model has positions."""
    most = getattr(model, "longest", None)
    if most is not None and (text := max(texts, key=len)) and len(text) > most:
        said = sentence([word for word, _ in model.words(text)])
        raise ExplainError(
            f"{type(model).__name__} reads captions of up to {most} tokens, and {short(said)} has {len(text)}; explain "
            "a shorter one."
        )


def word_target(score: scores.Score, tokens: Tensor, mask: Tensor, minus: Tensor | None = None) -> Target:
    """The score of chosen tokens, or its difference to those of a second text.

    Args:
        score: of tokens.
        tokens: (N, L), or (2N, L) with the second texts' behind.
        mask: (N, L), 1 at the tokens of the word, phrase or caption.
        minus: (N, L), 1 at the tokens of the contrast; then the output holds the rows of both texts.
    """
    n = len(mask)

    def target(output: Tensor) -> Tensor:
        value = score(output[:n], tokens[:n], mask)
        return value if minus is None else value - score(output[n:], tokens[n:], minus)

    return target


def check_captioner(model: Any) -> None:
    """Raise ExplainError unless the model offers the protocol."""
    missing = [name for name in ("generate", "token_log_probs", "encode", "words") if not hasattr(model, name)]
    if missing:
        raise ExplainError(
            f"{type(model).__name__} is no captioner: it lacks {', '.join(missing)} "
            "(see mmcam.Captioner, about 30 lines)."
        )


def caption_tokens(model: Any, x: Tensor, captions: Sequence[str] | None, kept: Sequence[Kept] = ()) -> list[list[int]]:
    """The tokens of a caption for each of the pictures x (N,C,H,W): as given, one each, or as the model generates them.

    What is kept of its encoder's outputs is not computed again.

    Raises:
        ExplainError: a caption that the model cannot say, one without a word, or one of more tokens than it reads.
    """
    if captions is None:
        with as_found(model), begun(kept, model):
            rows = [list(row) for row in model.generate(x.clone())]  # a copy: it may work in place on its input
    else:
        try:
            rows = [list(model.encode(text)) for text in captions]
        except ValueError as error:
            raise ExplainError(message_of(error)) from error
    if not all(row and model.words(row) for row in rows):  # tokens may spell nothing but blanks
        raise ExplainError("The caption has no word, so there is nothing to explain; pass one with caption=.")
    _check_length(model, rows)
    return rows


def beam_tokens(model: Any, x: Tensor, beam: Any, kept: Sequence[Kept] = ()) -> list[list[list[int]]]:
    """The tokens of the best captions of each picture, the likeliest first; those without a word are left out.

    What is kept of its encoder's outputs is not computed again.

    Raises:
        ExplainError: the model has no beam search, or `beam` is no positive number.
    """
    if not hasattr(model, "beams"):
        raise ExplainError(f"{type(model).__name__} has no method `beams`, so it gives one caption; leave beam= out.")
    width = whole_number(beam)
    if width is None:
        raise ExplainError(
            f"A beam holds a whole number of captions, and beam={short(beam)} is none; pass for example 3."
        )
    if width < 1:
        raise ExplainError(f"A beam of {short(width)} captions holds none; pass at least 1.")
    with as_found(model), begun(kept, model):
        found = [
            [list(tokens) for tokens, _ in own if len(tokens) and model.words(tokens)]
            for own in model.beams(x.clone(), width)
        ]
    if not all(found):
        raise ExplainError(
            "The captions of the beam have no word, so there is nothing to explain; pass one with caption=."
        )
    return found


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
