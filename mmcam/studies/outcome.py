"""From the folder of a study to its results: analyses of people and of simulated raters, as JSON, CSV and a page."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import IO

from mmcam.errors import ExplainError
from mmcam.files import json_text, write_all
from mmcam.studies.analysis import Analysis, analyse
from mmcam.studies.answers import Table, csv_rows, table
from mmcam.studies.design import Design, read_design, read_key
from mmcam.studies.report import write_report
from mmcam.studies.store import Store


def outcome(folder: Path, planned: int | None = None) -> tuple[Design, list[Table], list[Analysis]]:
    """The analyses of a study: of people if there are any, and of simulated raters if there are any; never of both.

    Args:
        folder: of the study.
        planned: raters, whose power is told.

    Raises:
        ExplainError: it is no study, or nobody has answered yet.
    """
    design, key = read_design(folder), read_key(folder)
    store = Store(folder, design)
    try:
        tables = [table(design, key, store, simulated) for simulated in (False, True)]
    finally:
        store.close()
    tables = [one for one in tables if one.raters or one.excluded]
    if not tables:
        raise ExplainError(f"Nobody has answered the study {folder} yet; `mmcam study serve {folder}` lets them.")
    return design, tables, [analyse(design, one, planned) for one in tables]


def write_outcome(folder: Path, out: Path, planned: int | None = None) -> tuple[Design, list[Analysis], list[Path]]:
    """Write the results of a study: OUT.html, OUT.json and OUT.csv, the answers without anybody's ID.

    Args:
        folder, planned: as in `outcome`.
        out: without a suffix.
    """
    design, tables, analyses = outcome(folder, planned)
    report = {
        "study": design.id,
        "kind": design.kind,
        "figure": design.what.figure,
        "rules": design.rules.sentences(),
        "published": {"figures": dict(design.what.published), "source": design.what.source},
        "analyses": [{"raters_are": "simulated" if one.simulated else "people", **one.summary()} for one in analyses],
    }
    rows = [row for one in tables for row in csv_rows(one)]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["rater", "simulated", "item", "method", "choice", "value", "ms"])
    writer.writeheader()
    writer.writerows(rows)
    contents = {".json": json_text(report, indent=1) + "\n", ".csv": text.getvalue()}
    data = {Path(f"{out}{suffix}"): content.encode("utf-8", "backslashreplace") for suffix, content in contents.items()}
    files = write_all({path: partial(_put, content) for path, content in data.items()})
    return design, analyses, [write_report(Path(f"{out}.html"), design, analyses), *files]


def _put(content: bytes, file: IO[bytes]) -> None:
    file.write(content)
