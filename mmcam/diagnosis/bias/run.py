"""From labelled pictures and concepts to a page of what each class's maps lie on; kept as it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcam
from mmcam.diagnosis.bias.page import INSTEAD, SUFFIXES, write_page
from mmcam.diagnosis.bias.parts import Masks, by_units, on_masks, read_masks
from mmcam.diagnosis.bias.ranking import Lean, ranked
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.labelled import LabelledPicture, read_labelled
from mmcam.diagnosis.meant import Meanings, meanings
from mmcam.diagnosis.records import Record, checksum, in_chunks, path_of
from mmcam.drawing.saving import check_suffix
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError


@dataclass(frozen=True)
class Found:
    """What the maps of the classes lie on.

    Attributes:
        leans: every class with every concept, first what it leans to most.
        pictures: that were explained and have a concept.
        empty: whose map is empty, so that it lies nowhere.
        skipped: files that were left out, each with the sentence that says why.
    """

    leans: list[Lean]
    pictures: int
    empty: int
    skipped: tuple[tuple[str, str], ...]


def find_bias(
    source: str | os.PathLike[str],
    explainer: Explainer,
    out: str | os.PathLike[str],
    *,
    concepts: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    batch: int = 16,
    tell: Callable[[str], object] = lambda text: None,
) -> Found:
    """Measure on which concepts the maps of each class lie, and write a page, or a table, of it.

    The map is that of the picture's own class; of a picture with several labels each has its own. What is done is kept
    beside the page, in OUT.part, until it is written: a run that was stopped goes on there.

    Args:
        source: labelled pictures (see `mmcam.diagnosis.labelled`).
        explainer: the model and how it is asked; its units are the concepts where `concepts` is None.
        out: an ``.html`` page, or a ``.csv``.
        concepts: a table of masks (see `read_masks`) of the same pictures.
        limit: only the first so many pictures.
        batch: pictures at a time.
        tell: is told what a run that was stopped had done.

    Raises:
        ExplainError: neither masks nor names of units, or both; labels of another model; no picture has a concept.
        ValueError: a table of another form.
    """
    if (concepts is None) == (explainer.units is None):
        raise ExplainError("Name either the masks of concepts (--concepts TABLE.csv) or units (--dissection NAME).")
    path, page = Path(source), Path(out)
    check_suffix(page, SUFFIXES, INSTEAD)
    data = read_labelled(path)
    pictures = data.pictures[:limit]
    masks = None if concepts is None else read_masks(concepts)
    if masks is not None and not any(picture.path.resolve() in masks for picture in pictures):
        raise ExplainError(
            f"None of the {len(pictures)} pictures of {path} stands in {concepts}; its column picture holds their "
            "paths, relative to the table."
        )
    of = {
        "kind": "bias",
        "source": str(path),
        "concepts": str(concepts),
        "weights": checksum(unwrap(explainer.model)),
        "how": {name: str(value) for name, value in explainer.how.items()},
    }
    part = page.with_name(f"{page.name}.part")
    means = meanings(explainer, pictures)

    def cases_of(chunk: Sequence[LabelledPicture]) -> list[list[Record]]:
        return _cases(explainer, means, chunk, masks)

    found = _found(in_chunks(part, of, pictures, path_of, cases_of, batch, "Explaining", tell), data.skipped)
    if not found.leans:
        raise ExplainError(
            f"No class of {path} has {'a concept' if masks is not None else 'units'} in enough pictures to be "
            f"compared; {found.empty} maps are empty, {len(found.skipped)} pictures were left out."
        )
    write_page(page, found, explainer, means, path)
    part.unlink()
    return found


def _cases(
    explainer: Explainer, means: Meanings, chunk: Sequence[LabelledPicture], masks: Masks | None
) -> list[list[Record]]:
    """Of each picture a record for each label; one that cannot be used has "skipped", the sentence that says why."""
    targets = [sorted({index for label in picture.labels for index in means[label]}) for picture in chunk]
    paths = [picture.path for picture in chunk]
    asked: dict[str, Any] = {"names": explainer.names, "errors": "skip", **explainer.how}
    cases: list[list[Record]] = []
    for picture, own, found in zip(
        chunk, targets, mmcam.explain_class(explainer.model, paths, targets, **asked), strict=True
    ):
        try:
            if isinstance(found, Exception):
                raise found
            cases.append(
                [_case(explainer, picture, _surest(found, own, means[label]), label, masks) for label in picture.labels]
            )
        except PictureError as error:
            cases.append([{"file": str(picture.path), "skipped": str(error)}])
    return cases


def _surest(found: Sequence[mmcam.Explanation], asked: Sequence[int], label: Sequence[int]) -> mmcam.Explanation:
    """Of the classes that a label means, the one of the greatest score."""
    return max((exp for exp, index in zip(found, asked, strict=True) if index in label), key=lambda exp: exp.score)


def _case(
    explainer: Explainer, picture: LabelledPicture, exp: mmcam.Explanation, label: str, masks: Masks | None
) -> Record:
    record: Record = {"file": str(picture.path), "label": label, "parts": {}, "empty": not exp.heatmap.max() > 0}
    if not record["empty"]:
        record["parts"] = (
            by_units(exp, explainer.units)
            if masks is None
            else on_masks(exp, masks.get(picture.path.resolve(), {}), picture.path)
        )
    return record


def _found(cases: Sequence[Record], beside: Sequence[tuple[Path, str]]) -> Found:
    skipped = [(case["file"], case["skipped"]) for case in cases if "skipped" in case]
    used = [case for case in cases if "skipped" not in case]
    return Found(
        ranked(used),
        len({case["file"] for case in used if case["parts"]}),
        sum(case["empty"] for case in used),
        (*skipped, *((str(file), why) for file, why in beside)),
    )
