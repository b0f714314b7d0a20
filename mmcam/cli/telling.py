"""What the command line writes and says of an explanation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import mmcam
from mmcam.cli.shared import console

Result = mmcam.Explanation | mmcam.CaptionExplanation | mmcam.QuestionExplanation
Report = dict[str, Any]
"""What JSON says of one picture."""


def report_of(picture: Path, exp: Result, files: list[Path], owed: Sequence[mmcam.Grounding]) -> Report:
    """An explanation and its files, ready for JSON."""
    report: Report = {"picture": str(picture), "files": [str(file) for file in files], **exp.summary()}
    if owed:
        report["grounding"] = [{**asdict(word), "drop": word.drop} for word in owed]
    return report


def write(exp: Result, out: Path, stem: str) -> list[Path]:
    """Write picture and data of an explanation; the files' names say what was explained, and how if not by Grad-CAM."""
    whole = exp if isinstance(exp, mmcam.Explanation) else exp.all
    how = "" if whole.method == "gradcam" else f"-{whole.method}"
    if not isinstance(exp, mmcam.Explanation):
        kind = "caption" if isinstance(exp, mmcam.CaptionExplanation) else "question"
        words = [word.save(out / f"{stem}-{i:02d}-{slug(word.target)}{how}.npz") for i, word in enumerate(exp)]
        return [exp.save(out / f"{stem}-{kind}{how}.png"), *words]
    name = f"{stem}-{slug(exp.target)}{how}"
    return [exp.save(out / f"{name}.png"), exp.save(out / f"{name}.npz")]


def slug(text: str) -> str:
    """A text as part of a file name."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")[:60] or "target"


def tell(
    exp: Result,
    files: list[Path],
    owed: Sequence[mmcam.Grounding] = (),
) -> None:
    """Say in words what was found and where it lies."""
    if not isinstance(exp, mmcam.Explanation):
        if isinstance(exp, mmcam.CaptionExplanation):
            console.print(f"[bold]{escape(exp.caption)}[/]  log-probability {exp.whole.score:.2f}", highlight=False)
        else:
            answer = exp.answer
            console.print(
                f"[bold]{escape(answer.target)}[/] in “{escape(exp.question)}”: score {answer.score:.3f}",
                highlight=False,
            )
        score = "log-probability" if isinstance(exp, mmcam.CaptionExplanation) else "score lost without it"
        table = Table("word", score, "looked at (x, y)", *(["lost without the picture"] if owed else []))
        for i, word in enumerate(exp):
            cells = [escape(word.target), f"{word.score:.2f}", str(word.peak() or "nowhere: the map is empty")]
            if owed:
                cells.append(f"{owed[i].drop:.2f}" + ("  [red]not from the picture[/]" if owed[i].flagged else ""))
            table.add_row(*cells)
        console.print(table)
    else:
        context = f" in “{escape(exp.context)}”" if exp.context else ""
        console.print(f"[bold]{escape(exp.target)}[/]{context}: score {exp.score:.3f}", highlight=False)
        if exp.note:
            console.print(escape(exp.note), highlight=False)
        else:
            console.print(f"looked most at {exp.peak()}, box {exp.box()}", highlight=False)
    for file in files[:2]:
        console.print(f"  {file}", highlight=False, soft_wrap=True)
