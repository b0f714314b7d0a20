"""A folder of pictures with noise: kept as it is done, then a table of all and a figure of the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from mmcam.diagnosis.attack.asks import input_of
from mmcam.diagnosis.attack.cards import cards_of
from mmcam.diagnosis.attack.figure import figure
from mmcam.diagnosis.attack.noise import Noise
from mmcam.diagnosis.attack.study import Subject, noisy, study
from mmcam.diagnosis.attack.subjects import class_subject
from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.records import Record, checksum, one_by_one, path_of
from mmcam.drawing.strip import stack
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.evaluation.uncertainty import Mean, mean

DRAWN = 3
"""Pictures of the figure."""


@dataclass(frozen=True)
class Row:
    """A method over all pictures that fool.

    Attributes:
        method: its name.
        before, after: share of maps of what is there whose maximum lies on it; of n 0 where nothing says where it is.
        agreement: rank correlation of the maps before and after.
        centre: share of things that the picture's centre lies on.
    """

    method: str
    before: Mean
    after: Mean
    agreement: Mean
    centre: Mean


@dataclass(frozen=True)
class Report:
    """What noise does to a model.

    Attributes:
        pictures: in which the model finds what is there; fooled: of these.
        missed: pictures in which it finds none of it, which are left out; skipped: those that cannot be used, and why.
        steps, largest: of those that fool: steps, and the largest change of a value in 255ths.
        true: probability of what is there, before and after.
        rows: of each method.
    """

    pictures: int
    fooled: int
    missed: int
    skipped: tuple[tuple[str, str], ...]
    steps: Mean
    largest: Mean
    true: tuple[Mean, Mean]
    rows: tuple[Row, ...]


def attack(
    model: Any,
    source: str | os.PathLike[str],
    pictures: Sequence[LabelledPicture],
    noise: Noise,
    out: str | os.PathLike[str],
    *,
    methods: Sequence[str] = ("gradcam",),
    to: str | None = None,
    names: Any = None,
    preprocess: Any = None,
    tell: Callable[[str], object] = lambda text: None,
) -> tuple[list[Record], Image.Image | None]:
    """Add noise to pictures until the model sees what is not there.

    What is done is kept in OUT.part: a run that was stopped goes on there; who has written the results removes it.

    Args:
        model: a classifier; left as found.
        source: where the pictures are from.
        pictures: with what is on them.
        noise: how it is found.
        out: of the results, without an ending.
        methods: of the maps; the first is that of the figure.
        to, names, preprocess: see `class_subject`.
        tell: is told what a run that was stopped had done.

    Returns:
        The records (see `study`; with "skipped", or no "true", of pictures that were left out), and the figure of the
        first pictures that fool, None if none does.

    Raises:
        ExplainError: no picture can be used, or none shows what the model finds; as `class_subject`; or work of another
            kind in OUT.part.
    """
    module = unwrap(model)
    part = Path(f"{out}.part")
    of = {
        "source": str(source),
        "weights": checksum(module),
        "noise": vars(noise),
        "methods": list(methods),
        "to": to,
        "preprocess": str(preprocess),
    }

    def subject_of(picture: LabelledPicture) -> Subject | None:
        return class_subject(module, picture, to, names=names, preprocess=preprocess)

    def record_of(picture: LabelledPicture) -> Record:
        subject = subject_of(picture)
        if subject is None:
            return {"picture": path_of(picture), "true": []}
        return _studied(module, subject, noise, methods)[0]

    records = one_by_one(part, of, pictures, record_of, "Adding noise", tell)
    if not any(record.get("true") for record in records):
        why = next((record["skipped"] for record in records if "skipped" in record), "")
        raise ExplainError(f"The model finds nothing of what is there in any of {len(records)} pictures. {why}".strip())
    fooled = {record["picture"]: record for record in records if record.get("fooled")}
    sheets = []
    for picture in [picture for picture in pictures if str(picture.path) in fooled][:DRAWN]:
        subject = subject_of(picture)
        assert subject is not None
        x = input_of(noisy(module, subject, noise).pixels, subject.preprocess)[0]
        sheets.append(figure(module, subject, x, fooled[str(picture.path)]["largest"], methods[0]))
    return records, stack(sheets) if sheets else None


def attack_text(model: Any, subject: Subject, noise: Noise, methods: Sequence[str]) -> tuple[list[Record], Image.Image]:
    """The same of one word or answer: its record and its figure."""
    module = unwrap(model)
    record, x = _studied(module, subject, noise, methods)
    return [record], figure(module, subject, x, record["largest"], methods[0])


def _studied(module: nn.Module, subject: Subject, noise: Noise, methods: Sequence[str]) -> tuple[Record, Tensor]:
    """The record of a picture with what the page shows of it, and its input with noise."""
    record, x = study(module, subject, noise, methods)
    record["cards"] = cards_of(subject, x, methods[0])
    return record, x


def report_of(records: Sequence[Record], methods: Sequence[str]) -> Report:
    """What the records of many pictures say together."""
    found = [record for record in records if record.get("true")]
    fooled = [record for record in found if record["fooled"]]
    owners = [record["picture"] for record in fooled for _ in record["true"]]

    def of(values: Sequence[float | None]) -> Mean:
        return mean(np.array([np.nan if value is None else float(value) for value in values], dtype=float), owners)

    rows = []
    for method in methods:
        maps = [one for record in fooled for one in record["methods"][method]]
        before, after, agreement = (of([one[place] for one in maps]) for place in range(3))
        rows.append(Row(method, before, after, agreement, of([hit for r in fooled for hit in r["centre"]])))
    before, after = (of([p[place] for r in fooled for p in r["p true"]]) for place in range(2))
    return Report(
        len(found), len(fooled), sum(record.get("true") == [] for record in records),
        tuple((record["picture"], record["skipped"]) for record in records if "skipped" in record),
        mean([record["steps"] for record in fooled]), mean([record["largest"] for record in fooled]), (before, after),
        tuple(rows),
    )  # fmt: skip
