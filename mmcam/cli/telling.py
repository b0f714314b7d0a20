"""What the command line writes and says of an explanation."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

from rich.markup import escape
from rich.table import Table

import mmcam
from mmcam.cli.asking import Result
from mmcam.cli.shared import console
from mmcam.files import is_file, write_all
from mmcam.tasks.prediction import Prediction

Report = dict[str, Any]
"""What JSON says of one picture."""

_LONGEST = 255
"""Bytes of a file's name."""


def report_of(picture: Path, exp: Result, files: list[Path], owed: Sequence[mmcam.Grounding]) -> Report:
    """An explanation and its files, ready for JSON."""
    report: Report = {"picture": str(picture), "files": [str(file) for file in files], **exp.summary()}
    if owed:
        report["grounding"] = [{**asdict(word), "drop": word.drop} for word in owed]
    return report


def keep(out: Path, stem: str, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files of one result, all or none, and none over another result's: those of the same name get a number.

    Args:
        out: folder; made if it is not there.
        stem: what their names begin with; cut where a name would be longer than file systems take.
        contents: of each, by what its name ends with.

    Raises:
        OSError: they cannot be written there.
    """
    for number in itertools.count(1):
        again = "" if number == 1 else f"-{number}"
        files = {out / _name(stem, f"{again}{rest}"): content for rest, content in contents.items()}
        # The same result may be written again.
        if all(not is_file(path) or path.read_bytes() == content for path, content in files.items()):
            break
    return write_all({path: partial(_put, content) for path, content in files.items()})


def _put(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _name(stem: str, rest: str) -> str:
    """A file's name of at most as many bytes as file systems take."""
    whole, room = os.fsencode(stem), _LONGEST - len(os.fsencode(rest))
    return (stem if len(whole) <= room else whole[:room].decode("utf-8", "ignore")) + rest


def write(exp: Result, out: Path, stem: str) -> list[Path]:
    """Write picture and data of an explanation; the files' names say what was explained, and how if not by Grad-CAM."""
    whole = exp if isinstance(exp, mmcam.Explanation) else exp.all
    how = "" if whole.method == "gradcam" else f"-{whole.method}"
    kind = "caption" if isinstance(exp, mmcam.CaptionExplanation) else "question"
    what = slug(exp.target) if isinstance(exp, mmcam.Explanation) else kind
    parts = [f"-{what}{how}{suffix}" for suffix in (".png", ".npz")]
    with tempfile.TemporaryDirectory() as folder:
        contents = {rest: exp.save(Path(folder) / f"it{rest[-4:]}").read_bytes() for rest in parts}
    return keep(out, stem, contents)


def slug(text: str) -> str:
    """A text as part of a file name."""
    whole = re.sub(r"[^\w]+", "-", text.lower()).strip("-")[:60] or "target"
    return whole.encode("utf-8", "ignore")[:120].decode("utf-8", "ignore")


def told_prediction(prediction: Prediction | None) -> tuple[str, str, list[str]]:
    """Which class is explained and by what word it was asked for, its probability, and lines on the best classes."""
    if prediction is None:
        return "", "", []
    asked = f"asked as “{prediction.asked}”" if prediction.asked else ""
    index = "" if prediction.index is None else f"class {prediction.index}"
    which = ", ".join(filter(None, (index, asked)))
    own = "" if prediction.probability is None else f", probability {prediction.probability:.3g}"
    measure = f"probabilities by {prediction.activation}" if prediction.activation else "scores"
    best = ", ".join(
        f"{one.name} {one.score if one.probability is None else one.probability:.3g}" for one in prediction.best
    )
    return f" ({which})" if which else "", own, [f"best classes: {best} ({measure})", *filter(None, [prediction.doubt])]


def tell(
    exp: Result,
    files: list[Path],
    owed: Sequence[mmcam.Grounding] = (),
    prepared: list[str] | None = None,
) -> None:
    """Say in words what was found and where it lies.

    Args:
        exp: a result.
        files: of it.
        owed: what each word of a caption owes to the picture.
        prepared: how pictures were prepared, as far as it was told; told once.
    """
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
        which, probability, best = told_prediction(exp.prediction)
        console.print(
            f"[bold]{escape(exp.target)}[/]{context}{escape(which)}: score {exp.score:.3f}{probability}",
            highlight=False,
        )
        if exp.note:
            console.print(escape(exp.note), highlight=False)
        else:
            beside = " (of a larger part, which does not hold it)" if exp.peak_in_box() is False else ""
            console.print(f"looked most at {exp.peak()}, box {exp.box()}{beside}", highlight=False)
        for line in best:
            console.print(escape(line), highlight=False)
    how = (exp if isinstance(exp, mmcam.Explanation) else exp.all).preparation
    if prepared is not None and how not in prepared:
        prepared.append(how)
        console.print(f"[dim]picture: {escape(how)}[/]", highlight=False, soft_wrap=True)
    for file in files[:2]:
        console.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)
