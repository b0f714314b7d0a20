"""What a task makes of what a person asks: scalars to differentiate, and how to tell what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmcam.engine.computation import Computation
from mmcam.engine.shown import HeadAttention, TokenActivations
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.names import short
from mmcam.tasks.prediction import Prediction
from mmcam.tasks.region import Candidate, Region
from mmcam.tasks.targets import is_list, spread


@dataclass(frozen=True)
class Label:
    """How the explanation of one target of one picture is told.

    Attributes:
        target: the target in words: a class, a word, an answer, or a contrast of two.
        claim: what the model did, as the beginning of a sentence: "It says “dog”".
        context: what the target belongs to: the caption of a word, the question of an answer; "" for a class.
        scored: what the score is; "" for a function of the user's.
        sense: 1 if what raises the score speaks for the claim, -1 if it speaks against it.
        prediction: what a classifier makes of the picture; None for other tasks.
        region: where in the picture the target is; None for all of it.
        candidate: which of a model's many answers is explained; None where it has one.
    """

    target: str
    claim: str
    context: str = ""
    scored: str = ""
    sense: int = 1
    prediction: Prediction | None = None
    region: Region | None = None
    candidate: Candidate | None = None


@dataclass(frozen=True)
class Asked:
    """What is asked of a batch of pictures.

    Attributes:
        batch: the pictures.
        computation: of all their targets; a target that some picture lacks repeats one that it has.
        label: (t, n, score) → how target t of picture n is told.
        targets: the numbers of the targets that were asked of each picture.
        listed: whether the targets of each picture were given as a list, so that a list is the answer.
        language: a language side follows the part of the model that sees the picture.
        attention, token_activations, head_attention: see `mmcam.methods.Question`.
    """

    batch: Batch
    computation: Computation
    label: Callable[[int, int, float], Label]
    targets: Sequence[Sequence[int]]
    listed: Sequence[bool] = ()
    language: bool = False
    attention: Callable[[], Mapping[str, Tensor]] | None = None
    token_activations: Callable[[], Sequence[tuple[TokenActivations, Tensor]]] | None = None
    head_attention: Callable[[], Sequence[tuple[HeadAttention, Tensor]]] | None = None


def quoted(text: str, rather_than: str | None = None) -> str:
    """A text in quotation marks, or two: “this” rather than “that”."""
    return f"“{text}”" if rather_than is None else f"“{text}” rather than “{rather_than}”"


def titled(text: str, rather_than: str | None = None) -> str:
    """The same without marks, as a title."""
    return text if rather_than is None else f"{text} rather than {rather_than}"


def both_are(what: str, name: str) -> ExplainError:
    """The error for a contrast that is what is explained itself."""
    return ExplainError(f"The {what} and its contrast are both {short(name)}; choose two.")


def entries(wanted: Any, pictures: int, what: str) -> list[Any]:
    """What is asked of each of several pictures: an entry each, or one for all. An entry may be a list, of several.

    The one rule for classes, answers, words and texts alike: with one picture a list asks for several; with several
    pictures a list has one entry a picture, each of which may be a list again.

    Raises:
        ExplainError: not one entry a picture.
    """
    wanted = spread(wanted)
    if not is_list(wanted):
        return [wanted] * pictures
    if len(wanted) != pictures:
        raise ExplainError(f"There are {pictures} pictures and {len(wanted)} {what}s; give one a picture.")
    return [spread(entry) for entry in wanted]


def several(entry: Any, what: str) -> list[Any]:
    """What is asked of one picture, one after the other.

    Raises:
        ExplainError: nothing.
    """
    every = list(entry) if is_list(entry) else [entry]
    if not every:
        raise ExplainError(f"There is no {what} in the list; pass at least one.")
    return every


def one_text(entry: Any, what: str) -> str:
    """The one text that is asked of a picture, alone or in a list.

    Raises:
        ExplainError: something else than a text, or several.
    """
    every = list(entry) if is_list(entry) else [entry]
    if len(every) != 1:
        raise ExplainError(f"There are 1 pictures and {len(every)} {what}s; give one a picture.")
    return checked_text(every[0], what)


def checked_text(text: Any, what: str) -> str:
    """A text, as it is.

    Raises:
        ExplainError: it is something else.
    """
    if not isinstance(text, str):
        raise ExplainError(f"A {what} is a text, and {short(text)} is none; pass one, or a list of one a picture.")
    return text


def one_each(texts: str | Iterable[str], batch: Batch, what: str) -> list[str]:
    """One text a picture, repeated if it is one for all.

    Raises:
        ExplainError: something else than a text, or not one a picture.
    """
    one_for_all = isinstance(texts, str) or not isinstance(texts, Iterable)
    each = entries(texts if one_for_all else list(texts), len(batch.pictures), what)
    return [checked_text(text, what) for text in each]
