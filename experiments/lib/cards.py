"""Cards of a page: a caption or an answer of a vignette, with a map for every word and what each is worth."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import nn

import mmcam
from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.captions import Checked
from mmcam.datasets.vignettes.questions import TYPES
from mmcam.preparation import batch_of

GUESSED = 0.5  # nats a word has to lose without the picture
SIDE, QUALITY = 224, 60  # of the embedded pictures: a hundred cards weigh about 5 MB


@dataclass(frozen=True)
class Panel:
    """The map of one word, or of an answer.

    Attributes:
        word: what was explained.
        score: of the explanation: a log-probability, or what an answer's score loses without the word.
        overlay: the map over the picture, as a data URI.
        peak: (x, y) of the map's maximum in percent of the picture; None for an empty map.
        error: its distance in pixels to what the word is about; nan where there is no such thing.
        true: whether what the word claims is true of the picture; None if it claims nothing.
        guessed: said as likely without the picture.
        note: why the map is empty.
    """

    word: str
    score: float
    overlay: str
    peak: tuple[float, float] | None
    error: float = math.nan
    true: bool | None = None
    guessed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Card:
    """A text about a picture and its maps.

    Attributes:
        number: of the picture, from 0 in its split.
        seed: that draws the picture.
        picture: as a data URI.
        text: the caption or the question.
        panels: one a word, in reading order.
        score: a caption's log-probability, an answer's score before the softmax.
        confidence: a probability: the geometric mean of a caption's words', or an answer's.
        error: pixels from the maximum of a map to the nearest pixel of what it is about; of a caption the mean over
            its true words about things; nan where there is none.
    """

    number: int
    seed: int
    picture: str
    text: str
    panels: tuple[Panel, ...]
    score: float
    confidence: float
    error: float

    kind: ClassVar[str]

    @property
    def wrong(self) -> bool:
        """Something said is not true of the picture."""
        raise NotImplementedError


@dataclass(frozen=True)
class CaptionCard(Card):
    """A caption, each content word of it checked."""

    kind: ClassVar[str] = "caption"

    @property
    def untrue(self) -> int:
        """How many words are not true of the picture."""
        return sum(panel.true is False for panel in self.panels)

    @property
    def guessed(self) -> list[str]:
        """The words that owe little to the picture."""
        return [panel.word for panel in self.panels if panel.guessed]

    @property
    def wrong(self) -> bool:
        """Some word is not true of the picture."""
        return self.untrue > 0


@dataclass(frozen=True)
class AnswerCard(Card):
    """An answer to a question; `answer` is its map, `type` the question's, `truth` what would be right."""

    answer: Panel
    type: str
    truth: str

    kind: ClassVar[str] = "answer"

    @property
    def wrong(self) -> bool:
        """The answer is another than the true one."""
        return self.answer.word != self.truth


def cards(
    captioner: nn.Module, vqa: nn.Module, scenes: Iterable[vignettes.Vignette], method: str = "gradcam"
) -> list[Card]:
    """A caption and an answer of every picture; the questions are of all types in turn."""
    made: list[Card] = []
    asked: Counter[str] = Counter()
    for number, scene in enumerate(scenes):
        question = next_question(scene.questions, asked)
        asked[question.type] += 1
        made += [caption_card(captioner, scene, number, method), answer_card(vqa, scene, question, number, method)]
    return made


def next_question(questions: Sequence[vignettes.Question], asked: Counter[str]) -> vignettes.Question:
    """The first question of the type asked least so far."""
    return min(questions, key=lambda question: (asked[question.type], TYPES.index(question.type)))


def caption_card(captioner: nn.Module, scene: vignettes.Vignette, number: int, method: str) -> CaptionCard:
    """The caption a model gives a picture, and what every word of it is worth."""
    explained: mmcam.CaptionExplanation = mmcam.explain_caption(captioner, scene.image, method=method)
    claims = {claim.position: claim for claim in vignettes.captions.check(explained.caption, scene.truth)}
    grounds = mmcam.grounding(captioner, scene.image, explained.caption, threshold=GUESSED)
    panels = tuple(
        word_panel(exp, scene, claims.get(ground.position), ground)
        for exp, ground in zip(explained, grounds, strict=True)
    )
    return CaptionCard(
        number=number,
        seed=scene.truth.seed,
        picture=data_uri(scene.image),
        text=explained.caption,
        panels=panels,
        score=explained.whole.score,
        confidence=math.exp(explained.whole.score / len(panels)),
        error=mean([panel.error for panel in panels]),
    )


def word_panel(
    exp: mmcam.Explanation, scene: vignettes.Vignette, claim: Checked | None, ground: mmcam.Grounding
) -> Panel:
    """The map of a word of a caption; words that claim nothing are neither true nor guessed."""
    if claim is None:
        return panel(exp)
    error = pointing_error(exp.peak(), scene.mask(claim.things)) if claim.correct else math.nan
    return panel(exp, error, claim.correct, ground.flagged)


def answer_card(
    vqa: nn.Module, scene: vignettes.Vignette, question: vignettes.Question, number: int, method: str
) -> AnswerCard:
    """The answer a model gives to a question, and what every word of the question has to do with it."""
    explained: mmcam.QuestionExplanation = mmcam.explain_answer(
        vqa, scene.image, question.text, by_word=True, method=method
    )
    exp = explained.answer
    error = pointing_error(exp.peak(), scene.mask(question.things))
    return AnswerCard(
        number=number,
        seed=scene.truth.seed,
        picture=data_uri(scene.image),
        text=question.text,
        panels=tuple(panel(word) for word in explained),
        score=exp.score,
        confidence=probability(vqa, scene.image, question.text, exp.target),
        error=error,
        answer=panel(exp, error, exp.target == question.answer),
        type=question.type,
        truth=question.answer,
    )


def panel(exp: mmcam.Explanation, error: float = math.nan, true: bool | None = None, guessed: bool = False) -> Panel:
    """An explanation as a picture with its numbers."""
    peak, (width, height) = exp.peak(), exp.image.size
    middle = None if peak is None else (100 * (peak[0] + 0.5) / width, 100 * (peak[1] + 0.5) / height)
    return Panel(exp.target, exp.score, data_uri(exp.overlay()), middle, error, true, guessed, exp.note)


def pointing_error(peak: tuple[int, int] | None, mask: np.ndarray) -> float:
    """Pixels from the maximum (x, y) of a map to the nearest pixel of a mask: 0 on it, nan if either is missing."""
    if peak is None or not mask.any():
        return math.nan
    ys, xs = np.nonzero(mask)
    return float(np.hypot(xs - peak[0], ys - peak[1]).min())


@torch.no_grad()
def probability(vqa: Any, picture: Image.Image, question: str, answer: str) -> float:
    """The softmax probability of an answer."""
    scores = vqa.answer_scores(batch_of(vqa, picture, None).x, [question])
    return float(scores.softmax(1)[0, vqa.answers.index(answer)])


def mean(errors: Iterable[float]) -> float:
    """The mean of those that are numbers; nan if none is."""
    known = [error for error in errors if not math.isnan(error)]
    return sum(known) / len(known) if known else math.nan


def data_uri(picture: Image.Image) -> str:
    """A picture as text, at most `SIDE` pixels wide and high."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
