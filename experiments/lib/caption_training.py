"""What training a captioner takes, whatever it is trained for: its captions as tokens, its loss, and what it says.

The loss is the mean -log p of every word, perhaps with smoothed labels (Szegedy et al. 2016, arXiv:1512.00567, section
7): a small share of each word's probability is owed to all words alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.lib.caption_scores import BLEU, bleu, bleu_counts, cider
from experiments.lib.captioned import CAPTIONS, Split
from experiments.lib.precision import HALVES, autocast
from mmcam.datasets.vignettes import captions
from mmcam.datasets.vignettes.truth import Truth
from models import Speaker, build
from models.speaker import BEAM, END, UNKNOWN

LONGEST_READ: Final = 24  # words of a caption that is learned from


def built(card: dict[str, Any]) -> Speaker:
    """The captioner of a card, with random weights."""
    model = build(card)
    assert isinstance(model, Speaker)
    return model


def surprise(model: Speaker, seen: Tensor, tokens: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean -log p of every word and END of the captions (N, captions, L) of encoded pictures (N, …).

    `smoothing` is the share of the probability that is owed to all words alike.
    """
    text = tokens.flatten(0, 1).long()
    lengths, order = text.ne(END).sum(1).sort(descending=True, stable=True)
    text, owners = text[order], order // tokens.shape[1]
    running = torch.arange(int(lengths[0]) + 1)[:, None] <= lengths  # every word and one END, in the order of `hidden`
    with autocast():
        looked = model.look(seen.bfloat16() if HALVES else seen)  # halves here, or every step would convert them anew
        hidden = model.hidden(tuple(part[owners] for part in looked), text, lengths)
        logits = model.output(model.dropout(hidden))
    return F.cross_entropy(logits.float(), text.T[: len(running)][running], label_smoothing=smoothing)


def captions_of(model: Speaker, split: Split) -> np.ndarray:
    """Tokens (pictures, captions, longest + 1) of a split, filled up with END; a rare word becomes UNKNOWN."""
    known = set(model.vocabulary)
    rows = [
        [model.encode(" ".join(word if word in known else UNKNOWN for word in words)) for words in own]
        for own in split.captions
    ]
    longest = min(max(len(caption) for row in rows for caption in row), LONGEST_READ)
    table = np.full((len(rows), CAPTIONS, longest + 1), END, np.int16)
    for i, row in enumerate(rows):
        for j, caption in enumerate(row):
            table[i, j, : min(len(caption), longest)] = caption[:longest]
    return table


@torch.no_grad()
def speak(
    model: Speaker,
    split: Split,
    beams: Sequence[int] = (BEAM,),
    see: Callable[[Tensor], Tensor] | None = None,
) -> list[list[str]]:
    """A caption of every picture for each of the widths of the search; a picture is encoded once.

    Args:
        model: in eval mode.
        split: its pictures.
        beams: the widths.
        see: what gives the model's language side what it sees; default its whole encoder.
    """
    said: list[list[str]] = [[] for _ in beams]
    for _, x in split.pictures.batches():
        looked = model.look((model.see if see is None else see)(x))
        for texts, beam in zip(said, beams, strict=True):
            texts += [model.spell(found[0][0]) for found in model.search(looked, beam)]
    return said


def measure(said: Sequence[str], split: Split) -> dict[str, Any]:
    """Captions against the five references of each picture and, where it is known, against what is true."""
    scores = {"pictures": len(split.pictures), **language_scores(said, split.captions)}
    return scores if split.records is None else {**scores, **truth_scores(said, split.records)}


def language_scores(said: Sequence[str], references: Sequence[Sequence[Sequence[str]]]) -> dict[str, float]:
    """COCO's BLEU-1..4 of the whole set, and CIDEr-D, of captions of pictures with their references."""
    words = [text.split() for text in said]
    found = dict(zip(BLEU, bleu(bleu_counts(words, references)), strict=True))
    return {**found, "CIDEr": float(cider(words, references).mean())}


def truth_scores(said: Sequence[str], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Which words of captions are true of the vignettes they were generated for."""
    right: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    whole = []
    for caption, record in zip(said, records, strict=True):
        words = captions.check(caption, Truth.from_json(record["truth"]))
        checked.update(word.category for word in words)
        right.update(word.category for word in words if word.correct)
        whole.append(all(word.correct for word in words))
    return {
        "content_words_correct": right.total()
        / max(1, checked.total()),  # a captioner may say nothing that claims anything
        "captions_without_error": float(np.mean(whole)),
        "categories": {name: {"correct": right[name] / n, "words": n} for name, n in sorted(checked.items())},
    }
