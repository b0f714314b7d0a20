"""When a caption or an answer is wrong, does the map show why? Where the maxima fell, right beside wrong.

An untrue word was still said of something ("a red car" of a blue one), a wrong answer given to a question about
something. The map's maximum may fall on that thing: the model looked at the right thing and misread it. It may fall on
a thing of which the word would be true: it mixed two things up. Or on another thing, or on none.

    python -m experiments.words.wrong_words
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.lib.judging import KINDS, Judged, judged
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import mean

FELL = ("meant", "alike", "another", "none", "empty")
ALL = "all but scenes"
FEW = 10  # a row of fewer words or answers is left out


def main(
    pictures: int = 200,
    split: str = "test",
    method: str = "gradcam",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write wrong-SPLIT-METHOD.json and .md."""
    command = f"python -m experiments.words.wrong_words --pictures {pictures} --split {split} --method {method}"
    rows = []
    for name in (*KINDS["caption"], *KINDS["answer"]):
        records = [
            r for r in judged(name, pictures, split, method) if r.task in ("word", "answer") and r.category != "scene"
        ]
        for category in (*sorted({record.category for record in records}), ALL):
            for right in (True, False):
                own = [r for r in records if r.right == right and category in (r.category, every(r))]
                if len(own) >= FEW:
                    rows.append(summary(name, category, right, own))
    head = ("model", "word or question", "", "n", *(f"{where} %" for where in FELL))
    cells = [
        [row["model"], row["category"], "right" if row["right"] else "wrong", str(row["n"])]
        + [with_error({"value": row[where], "standard_error": row[f"{where} s.e."]}, 100, 0) for where in FELL]
        for row in rows
    ]
    below = [
        "",
        "Where the maximum of the map fell. *meant*: on what the word was said of, or the question asked about; "
        "*alike*: on another thing of which the word or answer is true; *another*: on one of which it is not; *none*: "
        f"beside all things. Rows of fewer than {FEW} are left out. ±: standard error, the "
        "words or answers of one picture counting as one source of error.",
    ]
    report = {**stamp(command, pictures=pictures), "rows": rows}
    show(out / f"wrong-{split}-{method}", report, head, cells, [f"`{command}`"], below)


def every(record: Judged) -> str:
    """The row that takes all but scenes, whose words are about most of a picture, if this is one of them."""
    return "" if record.category == "scene" else ALL


def summary(name: str, category: str, right: bool, records: list[Judged]) -> dict[str, Any]:
    """The shares of the places, with standard errors over the pictures."""
    pictures = [record.picture for record in records]
    row: dict[str, Any] = {"model": name, "category": category, "right": right, "n": len(records)}
    row["pictures"] = len(set(pictures))
    for where in FELL:
        share = mean([record.fell == where for record in records], pictures)
        row |= {where: share.value, f"{where} s.e.": share.standard_error}
    return row


if __name__ == "__main__":
    typer.run(main)
