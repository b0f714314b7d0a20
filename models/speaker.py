"""What all captioners have in common: words and their tokens, log-probabilities, and beam search.

Token 0 is START and END alike, token `i + 1` is `vocabulary[i]`. A captioner sees a picture in two steps: `see`, the
encoder, whose output may be kept, and `look`, what the language side makes of it once for a whole caption.
"""

import difflib
import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from .encoder import Seeing

LONGEST = 18  # tokens of a generated caption
BEAM = 2  # captions kept while one is generated, as neuraltalk2 does when it is evaluated
WIDE = 32  # … and at least while the best ones are listed: what ends best may begin badly
END = 0
UNKNOWN = "unk"  # stands for rare words in captions that are learned from; it is read, never said

Parts = tuple[Tensor, ...]
"""Tensors with one row for each caption that is being read or written."""


class Speaker(Seeing):
    """A captioner but for how it looks (`look`) and how it finds the next word (`begin`, `step`, `output`).

    Attributes:
        beam: captions kept while one is generated; a card says what suits its model best.
    """

    output: nn.Linear

    def __init__(self, vocabulary: Sequence[str], dropout: float = 0.0) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.beam = BEAM
        self.dropout = nn.Dropout(dropout)  # on words and before `output`, while training
        self._token = {word: token for token, word in enumerate(self.vocabulary, start=1)}

    def look(self, seen: Tensor) -> Parts:
        """What `see` gave → what every word of a caption reads of it."""
        raise NotImplementedError

    def begin(self, looked: Parts) -> Parts:
        """The state before START is read."""
        raise NotImplementedError

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Read one more token of each caption (R,): what `output` turns into the next one's logits, and the state."""
        raise NotImplementedError

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) and the tokens so far (R, L) → logits (R, L + 1, V + 1) of each next token.

        Row `[:, t]` is the distribution of token t, given the picture and the tokens before it. R is the number of
        rows the encoder gave: N, unless a caller multiplied the rows inside it.
        """
        return self.decode(self.look(self.see(x)), tokens)

    def decode(self, looked: Parts, tokens: Tensor) -> Tensor:
        """`forward` from what `look` gave (R rows, or one that serves them all) on."""
        hidden = torch.stack([hidden for hidden, _ in self.unroll(looked, tokens)], dim=1)
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def unroll(self, looked: Parts, tokens: Tensor) -> Iterator[tuple[Tensor, Parts]]:
        """What `step` gives for START and each of the tokens (R, L)."""
        looked = beside(looked, tokens)
        state = self.begin(looked)
        for words in (tokens.new_full((len(tokens),), END), *tokens.unbind(dim=1)):
            hidden, state = self.step(looked, state, words)
            yield hidden, state

    def hidden(self, looked: Parts, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What `step` gives for START and all tokens of captions of different lengths, for training.

        Args:
            looked: what `look` gave, R rows.
            tokens: (R, L) of the captions, the longest first.
            lengths: (R,) their numbers of tokens.

        Returns:
            (R + tokens, …): for START of all captions, for the first token of those that have one, and so on. A caption
            that has ended is read no further.
        """
        state, words, found = self.begin(looked), tokens.new_full((len(tokens),), END), []
        for t in range(int(lengths[0]) + 1):
            running = int((lengths >= t).sum())
            looked, state = tuple(part[:running] for part in looked), tuple(part[:running] for part in state)
            hidden, state = self.step(looked, state, words[:running])
            found.append(hidden)
            words = tokens[:, min(t, tokens.shape[1] - 1)]
        return torch.cat(found)

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log p(token_t | picture, tokens before t), (R, L), of the captions `tokens` (R, L) read beside `x`.

        Padding may hold any number: it changes no log-probability before it, and its own column means nothing.
        """
        tokens = tokens.clamp(0, len(self.vocabulary))
        return self.token_logits(x, tokens).log_softmax(dim=2).gather(2, tokens[:, :, None])[:, :, 0]

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R, L, words) of all words, before the softmax, at the places of the tokens (R, L)."""
        logits: Tensor = self(x, tokens[:, :-1])
        return logits

    @torch.no_grad()
    def generate(self, x: Tensor, beam: int | None = None) -> list[list[int]]:
        """A caption for each of the pictures (N, 3, H, W): tokens, END left out, at most `LONGEST`.

        Beam search: of all captions begun, the `beam` likeliest are carried on (default `self.beam`), and the one of
        the highest summed log-probability, END included, is returned. `beam=1` takes the likeliest word each time.
        """
        return [found[0][0] for found in self.search(self.look(self.see(x)), beam or self.beam, 1)]

    @torch.no_grad()
    def beams(self, x: Tensor, beam: int = BEAM) -> list[list[tuple[list[int], float]]]:
        """The `beam` likeliest captions that are found for each of the pictures (N, 3, H, W), the likeliest first.

        With their log-probabilities. The search is `WIDE`, or four times as wide as captions are asked for: one that
        carries on only as many as are listed hardly ever finds them, and a wider one may still find likelier ones
        (`python -m experiments.words.beam_widths`).
        """
        return self.search(self.look(self.see(x)), max(WIDE, 4 * beam), beam)

    def search(self, looked: Parts, beam: int, listed: int | None = None) -> list[list[tuple[list[int], float]]]:
        """A beam search from what `look` gave (N rows) on, all pictures together.

        Up to `listed` captions for each, default `beam`; the fewer, the sooner it may end.
        A log-probability is that of all words and of END. Where none of the captions comes to an end within `LONGEST`
        tokens, the likeliest unfinished one is given.
        """
        n, words, listed = len(looked[0]), len(self.vocabulary) + 1, beam if listed is None else listed
        rows, state = looked, self.begin(looked)
        captions = looked[0].new_zeros(n, 1, 1, dtype=torch.long)  # (N, beam, tokens so far), START first
        scores = looked[0].new_zeros(n, 1, dtype=torch.float32)  # -inf where a caption has ended
        found: list[list[tuple[list[int], float]]] = [[] for _ in range(n)]
        worst = scores.new_full((n,), -torch.inf)  # of the `listed` best finished captions, once there are as many
        for _ in range(LONGEST):
            if len(rows[0]) != n * captions.shape[1]:  # the first step reads one row a picture
                rows = tuple(part.repeat_interleave(captions.shape[1], 0) for part in looked)
            hidden, state = self.step(rows, state, captions[:, :, -1].flatten())
            log_probs = self.output(hidden).float().log_softmax(dim=1).view(n, -1, words)
            if UNKNOWN in self._token:
                log_probs[:, :, self._token[UNKNOWN]] = -torch.inf
            scores, flat = (scores[:, :, None] + log_probs).flatten(1).topk(min(beam, log_probs[0].numel()))
            parents, tokens = flat // words, flat % words
            kept = (torch.arange(n, device=flat.device)[:, None] * captions.shape[1] + parents).flatten()
            captions = torch.cat([captions.flatten(0, 1)[kept].view(n, -1, captions.shape[2]), tokens[:, :, None]], 2)
            state = tuple(part[kept] for part in state)
            ended = tokens == END
            for i, place in (ended & scores.isfinite()).nonzero().tolist():
                found[i].append((captions[i, place, 1:-1].tolist(), float(scores[i, place])))
                found[i] = sorted(found[i], key=lambda item: -item[1])[:listed]
                worst[i] = found[i][-1][1] if len(found[i]) == listed else -torch.inf
            scores = scores.masked_fill(ended, -torch.inf)
            if (scores.amax(1) <= worst).all():  # they only fall from here
                break
        likeliest = scores.argmax(1).tolist()
        unfinished = [(captions[i, j, 1:].tolist(), float(scores[i, j])) for i, j in enumerate(likeliest)]
        return [own or [rest] for own, rest in zip(found, unfinished, strict=True)]

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption, without START and END; case and punctuation do not matter.

        Raises:
            ValueError: a word the captioner does not know (the message names its nearest), or no word at all.
        """
        tokens = []
        for word in split_words(caption):
            if word not in self._token:
                near = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.0)
                raise ValueError(
                    f"The captioner does not know the word {word!r}; its nearest words are {', '.join(near)}."
                )
            tokens.append(self._token[word])
        if not tokens:
            raise ValueError(f"The caption {caption!r} holds no word.")
        return tokens

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words that tokens spell, each with the positions of its tokens (here one a word); END is no word."""
        return [(self.vocabulary[token - 1], [i]) for i, token in enumerate(tokens) if token != END]

    def spell(self, tokens: Sequence[int]) -> str:
        """The caption as text."""
        return " ".join(word for word, _ in self.words(tokens))


def split_words(text: str) -> list[str]:
    """The words of a caption or a question, in lower case, without punctuation."""
    return re.findall(r"[a-z0-9'-]+", text.lower())


def beside(looked: Parts, tokens: Tensor) -> Parts:
    """What was seen, one row for each of the captions (R, L).

    Raises:
        ValueError: there are as many pictures neither as captions nor as one.
    """
    if len(looked[0]) == 1:
        return tuple(part.expand(len(tokens), *part.shape[1:]) for part in looked)
    if len(looked[0]) != len(tokens):
        raise ValueError(
            f"{len(tokens)} captions cannot be read beside {len(looked[0])} encoded pictures: give one each."
        )
    return looked


def remember(cell: nn.LSTMCell) -> None:
    """Let parts of the cell forget slowly at first, some hardly at all: what it read first counts to the end."""
    gates = slice(cell.hidden_size, 2 * cell.hidden_size)  # input, forget, cell, output
    with torch.no_grad():
        cell.bias_ih[gates] = torch.linspace(1.0, 6.0, cell.hidden_size)
