"""Captions: which words of them does nobody say of the picture, and where do their maps lie?

A content word is untrue where no reference has it, in any form of its stem; where masks are given, also a concept's
name where the picture has no mask of that concept, and a word that a mask bears out is true whatever was written.
Beside the map of an untrue word stands that of the references' word that the model would sooner say in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mmcam
from mmcam.datasets.concepts.folder import read_table
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures.case import Told, case_of
from mmcam.diagnosis.labelled import joined_masks
from mmcam.diagnosis.records import Record
from mmcam.errors import ExplainError, PictureError
from mmcam.grounding import FUNCTION_WORDS
from mmcam.tasks.words import stem

ABOUT = frozenset("picture photo photograph image scene view see seen show shows showing next".split())  # noqa: SIM905
"""Words about the picture itself, or that need others to mean something: whether they are true nobody asks."""
CANDIDATES = 8
"""Words of the references that are tried in an untrue one's place."""


@dataclass(frozen=True)
class Captioned:
    """A picture and what people say of it.

    Attributes:
        path: of the picture.
        references: captions; none where masks alone tell.
        masks: by the name of what they show.
    """

    path: Path
    references: tuple[str, ...] = ()
    masks: dict[str, tuple[Path, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class References:
    """Pictures with what is true of them; `concepts` are the names of all masks of all pictures."""

    pictures: tuple[Captioned, ...]
    concepts: frozenset[str]


def read_captions(table: str | os.PathLike[str]) -> References:
    """A CSV with the columns picture and caption, or picture, mask and name, or all four: a line each.

    Raises:
        ValueError: a column or a picture is missing; a mask without a name; the table has no line.
    """
    path = Path(table)
    rows: dict[str, list[dict[str, str]]] = {}
    for line, row in read_table(path, ("picture",)):
        if not row["picture"]:
            raise ExplainError(f"Line {line} of {path} has no picture; fill the cell, or remove the line.")
        if bool(row.get("mask")) != bool(row.get("name")):
            raise ExplainError(f"Line {line} of {path} has a mask or a name, but not both; a mask shows what is named.")
        rows.setdefault(row["picture"], []).append(row)
    if not rows:
        raise ExplainError(f"{path} names no picture; write a line for each caption below the names of the columns.")
    pictures = []
    for picture, own in rows.items():
        masks: dict[str, tuple[Path, ...]] = {}
        for row in own:
            if row.get("mask"):
                masks[row["name"]] = (*masks.get(row["name"], ()), path.parent / row["mask"])
        references = tuple(row["caption"] for row in own if row.get("caption"))
        pictures.append(Captioned(path.parent / picture, references, masks))
    return References(tuple(pictures), frozenset(name for each in pictures for name in each.masks))


def judge(explainer: Explainer, concepts: frozenset[str], chunk: Sequence[Captioned]) -> list[list[Record]]:
    """Of each picture, a record for each content word of the caption that the model writes.

    One that cannot be used has "skipped", the sentence that says why.
    """
    return [list(_words(explainer, concepts, captioned)) for captioned in chunk]


def untrue(word: str, captioned: Captioned, concepts: frozenset[str]) -> bool | None:
    """Whether a word is said of a picture by nobody; None of a function word, and where nothing can tell."""
    own = stem(word)
    if not _says_something(word):
        return None
    if own in {stem(name) for name in captioned.masks}:
        return False
    if captioned.references:
        return own not in {stem(said) for text in captioned.references for said in _split(text)}
    return True if own in {stem(name) for name in concepts} else None


def _words(explainer: Explainer, concepts: frozenset[str], captioned: Captioned) -> Iterator[Record]:
    try:
        caption = mmcam.explain_caption(explainer.model, captioned.path, **explainer.how)
        for position, exp in enumerate(caption):
            false = untrue(exp.target, captioned, concepts)
            if false is not None:
                yield _judged(explainer, captioned, caption, position, false)
    except PictureError as error:
        yield {"picture": f"{captioned.path}\t", "skipped": str(error)}


def _judged(
    explainer: Explainer, captioned: Captioned, caption: mmcam.CaptionExplanation, position: int, false: bool
) -> Record:
    exp = caption[position]
    assert isinstance(exp, mmcam.Explanation)
    said = Told(exp.target, float(np.exp(exp.score)), exp)
    truth = _sooner(explainer, captioned, caption, position) if false else said
    texts = " / ".join(captioned.references[:2])
    return case_of(
        captioned.path,
        truth or Told("(no word of the references)", None, None),
        said,
        not false,
        _region(captioned, (truth or said).name, exp.image.size),
        units=explainer.units,
        what=str(position),
        context=f"“{caption.caption}”",
        notes=[f"People say: {texts}"] if texts else [],
    )


def _sooner(
    explainer: Explainer, captioned: Captioned, caption: mmcam.CaptionExplanation, position: int
) -> Told | None:
    """The word of the references, or name of a mask, that the model gives the most probability in a word's place."""
    have = {stem(exp.target) for exp in caption}
    words = [word for text in captioned.references for word in _split(text)] + list(captioned.masks)
    new = list(dict.fromkeys(word for word in words if stem(word) not in have and _says_something(word)))
    found: list[mmcam.Explanation] = []
    for word in new[:CANDIDATES]:
        try:
            found.append(
                mmcam.explain_caption(
                    explainer.model, captioned.path, word, caption=caption.caption, position=position, **explainer.how
                )
            )
        except PictureError:
            raise
        except ExplainError:  # the model has no such word
            continue
    best = max(found, key=lambda exp: exp.score, default=None)
    return None if best is None else Told(best.target, float(np.exp(best.score)), best)


def _region(captioned: Captioned, word: str, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    own = [path for name, paths in captioned.masks.items() if stem(name) == stem(word) for path in paths]
    return joined_masks(own, captioned.path, size) if own else None


def _says_something(word: str) -> bool:
    return word.casefold() not in FUNCTION_WORDS | ABOUT and any(map(str.isalnum, word))


def _split(text: str) -> list[str]:
    return ["".join(letter for letter in word if letter.isalnum() or letter in "-'") for word in text.split()]
