"""From pictures of one's own to a page of failures: what is asked of them, chunk by chunk, kept as it is done."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures import answers, captions, classes
from mmcam.diagnosis.failures.page import write_page
from mmcam.diagnosis.failures.summary import Summary, summary
from mmcam.diagnosis.labelled import read_labelled
from mmcam.diagnosis.meant import meanings
from mmcam.diagnosis.pairs import INSTEAD, PAGES
from mmcam.diagnosis.records import Record, checksum, in_chunks, path_of
from mmcam.drawing.saving import check_suffix
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.files import is_file

Judge = Callable[[Sequence[Any]], list[list[Record]]]
"""Things that are judged → of each its records."""

COUNTED = {"classes": "pictures", "answers": "questions", "captions": "words"}
"""What is judged, by the kind of work."""


def find_failures(
    source: str | os.PathLike[str],
    explainer: Explainer,
    out: str | os.PathLike[str],
    *,
    limit: int | None = None,
    batch: int = 16,
    tell: Callable[[str], object] = lambda text: None,
) -> Summary:
    """Write a page of what a model gets wrong.

    What is done is kept beside the page, in OUT.part, until it is written: a run that was stopped goes on there.

    Args:
        source: labelled pictures (see `mmcam.diagnosis.labelled`), or a table of captions or of questions (see
            `captions.read_captions`, `answers.read_answers`); which one the table's columns say.
        explainer: the model and how it is asked.
        out: the page, an ``.html``.
        limit: only the first so many pictures.
        batch: pictures at a time.
        tell: is told what a run that was stopped had done.

    Raises:
        ExplainError: nothing that can be used, labels of another model, or work of another kind in OUT.part.
        ValueError: a table of another form.
    """
    path, page = Path(source), Path(out)
    check_suffix(page, PAGES, INSTEAD)
    kind, items, judge, taken, beside = _work(path, explainer, limit)
    part = page.with_name(f"{page.name}.part")
    of = {
        "kind": kind,
        "source": str(path),
        "weights": checksum(unwrap(explainer.model)),
        "how": {name: str(value) for name, value in explainer.how.items()},
        "units": explainer.units is not None,
    }
    records = in_chunks(part, of, items, taken, judge, batch, "Judging", tell)
    records += [{"picture": str(file), "skipped": why} for file, why in beside]
    if not records:
        raise ExplainError(f"Nothing the model says of the {len(items)} pictures of {path} can be judged by it.")
    if all("skipped" in record for record in records):
        raise ExplainError(f"None of the {len(records)} pictures of {path} could be used: {records[0]['skipped']}")
    found = summary(records)
    title = f"What {type(unwrap(explainer.model)).__name__} gets wrong in {path.name}"
    write_page(page, records, found, explainer, title, COUNTED[kind])
    part.unlink()
    return found


def _work(
    path: Path, explainer: Explainer, limit: int | None
) -> tuple[str, Sequence[Any], Judge, Callable[[Any], str], Sequence[tuple[Path, str]]]:
    """What kind of work it is, what is judged, by whom, what the record of one is called, and what is left out."""
    columns = _columns(path)
    if "question" in columns:
        asked = answers.read_answers(path)[:limit]
        return "answers", asked, partial(answers.judge, explainer), lambda item: f"{item.path}\t{item.question}", ()
    if "caption" in columns or {"mask", "name"} <= columns:
        references = captions.read_captions(path)
        judge = partial(captions.judge, explainer, references.concepts)
        return "captions", references.pictures[:limit], judge, lambda item: str(item.path), ()
    data = read_labelled(path)
    pictures = data.pictures[:limit]
    judge = partial(classes.judge, explainer, meanings(explainer, pictures))
    return "classes", pictures, judge, path_of, data.skipped


def _columns(path: Path) -> set[str]:
    """The names in a table's first line; none of a folder."""
    if path.suffix.lower() != ".csv" or not is_file(path):
        return set()
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        head = next(csv.reader(itertools.islice(file, 1)), [])
    return {name.strip() for name in head}
