"""Answered questions: is the answer one that people gave, and where do the maps of theirs and of the model's lie?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcam
from mmcam.datasets.concepts.folder import read_table
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures.case import Told, case_of
from mmcam.diagnosis.labelled import joined_masks
from mmcam.diagnosis.records import Record
from mmcam.engine.as_found import as_found
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.preparation import batch_of


@dataclass(frozen=True)
class Asked:
    """A question about a picture.

    Attributes:
        path: of the picture.
        question: as it is asked.
        answers: that are right, the most frequent first.
        masks: of what it is about.
    """

    path: Path
    question: str
    answers: tuple[str, ...]
    masks: tuple[Path, ...] = ()


def read_answers(table: str | os.PathLike[str]) -> list[Asked]:
    """A CSV with the columns picture, question, answer and, if there is one, mask: a line for each answer.

    Raises:
        ValueError: a column or cell is missing; the table has no line.
    """
    path = Path(table)
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line, row in read_table(path, ("picture", "question", "answer")):
        if missing := next((column for column in ("picture", "question", "answer") if not row[column]), None):
            raise ExplainError(f"Line {line} of {path} has no {missing}; fill the cell, or remove the line.")
        rows.setdefault((row["picture"], row["question"]), []).append(row)
    if not rows:
        raise ExplainError(f"{path} asks nothing; write a line for each question below the names of the columns.")
    return [
        Asked(
            path.parent / picture,
            question,
            tuple(answer for answer, _ in Counter(row["answer"] for row in own).most_common()),
            tuple(dict.fromkeys(path.parent / row["mask"] for row in own if row.get("mask"))),
        )
        for (picture, question), own in rows.items()
    ]


def judge(explainer: Explainer, chunk: Sequence[Asked]) -> list[list[Record]]:
    """Of each question its record; one whose picture cannot be used has "skipped", the sentence that says why."""
    return [[_record(explainer, asked)] for asked in chunk]


def _record(explainer: Explainer, asked: Asked) -> Record:
    try:
        return _judged(explainer, asked)
    except PictureError as error:
        return {"picture": f"{asked.path}\t{asked.question}", "skipped": str(error)}


def _judged(explainer: Explainer, asked: Asked) -> Record:
    said = mmcam.explain_answer(explainer.model, asked.path, asked.question, **explainer.how)
    right = _folded(said.target) in map(_folded, asked.answers)
    known = [_folded(answer) for answer in getattr(unwrap(explainer.model), "answers", ())]
    name = next((answer for answer in asked.answers if not known or _folded(answer) in known), None)
    truth = said if right else None
    if not right and name is not None:
        truth = mmcam.explain_answer(explainer.model, asked.path, asked.question, name, **explainer.how)
    where = joined_masks(asked.masks, asked.path, said.image.size) if asked.masks else None
    both = _probabilities(explainer, asked, [asked.answers[0] if name is None else name, said.target])
    told = Told(said.target if right else (name or asked.answers[0]), both[1] if right else both[0], truth)
    return case_of(
        asked.path,
        told,
        Told(said.target, both[1], said),
        right,
        where,
        units=explainer.units,
        what=asked.question,
        context=asked.question,
    )


def _probabilities(explainer: Explainer, asked: Asked, answers: Sequence[str]) -> list[float | None]:
    """Of answers, under the softmax over all that the model knows; None of a model that writes its answers."""
    module: Any = unwrap(explainer.model)
    if not hasattr(module, "answer_scores"):
        return [None] * len(answers)
    batch = batch_of(module, [asked.path], explainer.how.get("preprocess"))
    with as_found(module):
        shares = module.answer_scores(batch.x, [asked.question])[0].softmax(0)
    known = [_folded(answer) for answer in module.answers]
    return [float(shares[known.index(_folded(a))]) if _folded(a) in known else None for a in answers]


def _folded(answer: str) -> str:
    return " ".join(answer.casefold().split())
