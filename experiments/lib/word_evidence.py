"""What the maps of words are made of: many words of many captions of a photograph, from one pass of its encoder.

`mmcam.explain_caption` explains one caption at a time; five captions that people wrote of a photograph would send it
through the encoder five times for each method. Here all of them are read beside one another behind one encoding, and
every method gets the same activations and gradients; tests hold the maps against those of `explain_caption`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import torch
from torch import Tensor

from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target
from mmcam.engine.pixels import input_gradients
from mmcam.engine.rows import Rows
from mmcam.engine.run import Evidence, run_at
from mmcam.methods.relu_rules import ReluRule
from mmcam.places.survey import layer_at

Score = Literal["log_prob", "logit", "next best", "picture-less"]
"""What of a word is explained: its log-probability, its logit, or its logit less that of the likeliest other word, or
less that of the other word that is likeliest behind the same words with a grey picture."""


@dataclass(frozen=True)
class Word:
    """A word of one of a photograph's captions.

    Attributes:
        caption: the number of the caption.
        token: the word's place in it.
    """

    caption: int
    token: int


@dataclass(frozen=True)
class Seen:
    """Of T words and one photograph.

    Attributes:
        layers: the evidence at each layer, A (1,K,h,w) and gradients (T,1,K,h,w).
        guided: guided gradients at the pixels (T,1,C,H,W); None where they were not asked for.
        attention: the captioner's own before each word (T,1,h,w); None where it has none.
    """

    layers: list[Evidence]
    guided: Tensor | None
    attention: Tensor | None


def seen(
    captioner: Any,
    x: Tensor,
    captions: Sequence[Sequence[int]],
    words: Sequence[Word],
    layers: Sequence[str],
    *,
    score: Score = "log_prob",
    guided: bool = False,
) -> Seen:
    """Evidence of words, in one forward of the encoder and one backward a word (two where it is guided as well).

    Args:
        captioner: a `models.Speaker`.
        x: the photograph (1,C,H,W).
        captions: tokens of each.
        words: of them.
        layers: names.
        score: what is explained.
        guided: also the guided gradients at the pixels.
    """
    longest = max(map(len, captions))
    tokens = torch.tensor([[*caption, *[0] * (longest - len(caption))] for caption in captions])

    def forward(pictures: Tensor, rows: Rows) -> Tensor:
        looked = captioner.look(captioner.see(pictures))
        logits: Tensor = captioner.decode(looked, tokens[:, :-1])
        return logits[None]  # a row for the one picture

    targets: list[Target] = []
    grey = None
    if score == "picture-less":
        with torch.no_grad():
            grey = forward(torch.zeros_like(x), Rows(1))
    for word in words:
        place: dict[str, Any] = {"word": word, "token": int(tokens[word.caption, word.token])}
        targets.append(partial(_SCORES[score], **place) if grey is None else partial(_less, others=grey, **place))
    c = Computation(captioner, forward, x, targets)
    places = [layer_at(captioner, c.alone, x, name) for name in layers]
    if guided:
        with ReluRule("guided") as rule:
            at_pixels, _, evidence = input_gradients(c, switch=rule.switch, layers=places)
    else:
        evidence = run_at(c, places, rows=1)
    attention = None
    if hasattr(captioner, "attention"):
        with torch.no_grad():
            steps = captioner.attention(x, tokens)["attention"]
        attention = torch.stack([steps[word.caption, word.token][None] for word in words])
    return Seen(evidence, at_pixels if guided else None, attention)


def _log_prob(logits: Tensor, word: Word, token: int) -> Tensor:
    return logits[:, word.caption, word.token].log_softmax(1)[:, token]


def _logit(logits: Tensor, word: Word, token: int) -> Tensor:
    return logits[:, word.caption, word.token, token]


def _next_best(logits: Tensor, word: Word, token: int) -> Tensor:
    return _less(logits, logits.detach(), word, token)


def _less(logits: Tensor, others: Tensor, word: Word, token: int) -> Tensor:
    """A word's logit less that of the word that is likeliest by `others`, itself left out."""
    own = logits[:, word.caption, word.token]
    rival = others[0, word.caption, word.token].index_fill(0, torch.tensor([token]), -torch.inf).argmax()
    return own[:, token] - own[:, rival]


_SCORES: Final = {"log_prob": _log_prob, "logit": _logit, "next best": _next_best}
