"""What a model is to say that is not true, and what of it is: of a class, a word of a caption, an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.diagnosis.attack.noise import SURE, Ask, Said
from mmcam.engine.calling import called
from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.tasks.captioning import Caption, pad
from mmcam.tasks.logits import Find


def in_pixels(ask: Ask, preprocess: Preprocess) -> Ask:
    """What is asked of a model's inputs, asked of pictures in 255ths."""

    def of_pixels(pixels: Tensor) -> Said:
        mean, std = (torch.tensor(v).view(-1, 1, 1).to(pixels) for v in (preprocess.mean, preprocess.std))
        return ask((pixels / 255 - mean) / std)

    return of_pixels


def pixels_of(x: Tensor, preprocess: Preprocess) -> Tensor:
    """An input (…,C,H,W) as the picture it shows, in whole 255ths."""
    mean, std = (torch.tensor(v).view(-1, 1, 1).to(x) for v in (preprocess.mean, preprocess.std))
    return ((x * std + mean) * 255).round().clamp(0, 255)


def input_of(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """A picture in 255ths as an input."""
    mean, std = (torch.tensor(v).view(-1, 1, 1).to(pixels) for v in (preprocess.mean, preprocess.std))
    return (pixels / 255 - mean) / std


def of_class(model: nn.Module, find: Find, wrong: int, true: Sequence[int], several: bool) -> Ask:
    """A class that is not there.

    Args:
        model: gives logits.
        find: them, in its output.
        wrong: the class that it is to see.
        true: those that are there.
        several: classes may be there together (a sigmoid of each); then it is no longer to see the true ones.
    """

    def ask(x: Tensor) -> Said:
        logits = find(called(model, x))
        if not several:
            logs = logits.log_softmax(1)
            return _rather(logs[:, wrong], logs[:, list(true)].exp())
        p = logits.sigmoid()
        aim = F.logsigmoid(logits[:, wrong]) + F.logsigmoid(-logits[:, list(true)]).sum(1)
        fooled = (p[:, wrong] > SURE) & (p[:, list(true)] < 1 - SURE).all(1)
        return Said(aim, p[:, wrong], p[:, list(true)], fooled)

    return ask


def of_answer(model: Any, question: str, wrong: int, true: int) -> Ask:
    """An answer that is not right, of a model with a list of them."""

    def ask(x: Tensor) -> Said:
        logs = model.answer_scores(x, [question] * len(x)).log_softmax(1)
        return _rather(logs[:, wrong], logs[:, [true]].exp())

    return ask


def of_word(model: Any, wrong: Caption, true: Caption) -> Ask:
    """A word that is not true, in the place of one that is, behind the same words before it."""

    def ask(x: Tensor) -> Said:
        logs = [_word_log_prob(model, x, caption) for caption in (wrong, true)]
        return _rather(logs[0], logs[1][:, None].exp())

    return ask


def _word_log_prob(model: Any, x: Tensor, caption: Caption) -> Tensor:
    (span,) = caption.spans
    places = [place for _, own in model.words(caption.tokens)[span.start : span.stop] for place in own]
    tokens = pad([caption.tokens], x.device).expand(len(x), -1)
    logs: Tensor = model.token_log_probs(x, tokens)[:, places].sum(1)
    return logs


def _rather(log_prob: Tensor, true: Tensor) -> Said:
    """Of what excludes what is true, it is enough that it is sure."""
    wrong = log_prob.exp()
    return Said(log_prob, wrong, true, wrong > SURE)


def different(wrong: object, true: Sequence[object], what: str, name: str) -> None:
    """Raise ExplainError where what the model is to say is true."""
    if wrong in true:
        raise ExplainError(f"The {what} {name} is true of the picture; name one that is not, with --to.")
