"""Do the maps fall on what they are about? Pointing accuracy on vignettes, whose masks are exact.

For every test picture and every bundled model: each kind in it (classifier), each content word of the generated caption
that is true of the picture and of one that was written of it (captioners; a relation's truth is both things, a scene's
the pixels of no thing), each question about things or the scene that is answered rightly (VQA models), and the words of
questions that name things; a hit if the map's maximum lies there, without tolerance. Beside it the same masks hit by a
map that read the text and saw no picture (the text prior, `experiments.lib.text_prior`), by the picture's centre and by
a random pixel.

    python -m experiments.words.vignette_pointing
    python -m experiments.words.vignette_pointing --method attention     # of the models that have their own
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import models
from experiments.lib.judging import KINDS, Judged, judged, shares
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from experiments.lib.text_prior import PICTURES, RARE

TASKS = ("class", "word", "given word", "answer", "question word")
BELOW = (
    "",
    f"Text prior: the maximum of the mean mask of what the same word or question is about, over {PICTURES} pictures of "
    f"the training split (of its category or type, if met less than {RARE} times): what a map scores that read the "
    "text and saw no picture. Standard errors are clustered by picture.",
)


def main(
    pictures: int = 200,
    split: str = "test",
    method: str = "gradcam",
    only: Annotated[list[str] | None, typer.Option(help="These models; default all bundled ones.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Measure all tasks and write pointing-SPLIT-METHOD.json and .md."""
    names = [name for own in KINDS.values() for name in own if not only or name in only]
    if method == "attention":
        names = [name for name in names if hasattr(models.load(name), "attention")]
    found = {
        name: [r for r in judged(name, pictures, split, method) if r.right and r.hit is not None] for name in names
    }
    command = f"python -m experiments.words.vignette_pointing --pictures {pictures} --split {split} --method {method}"
    command += "".join(f" --only {name}" for name in only or ())
    report = stamp(command, pictures=pictures)
    report["rows"] = [row for name, records in found.items() for row in rows_of(name, records)]
    head = ("model", "task", "truth of", "n", "pointing %", "± s.e.", "text prior %", "centre %", "random %")
    cells = []
    for row in report["rows"]:
        figures = [percent(row[key]) for key in ("pointing", "standard_error", "prior", "centre", "random")]
        cells.append([row["model"], row["task"], row["category"], str(row["n"]), *figures])
    show(out / f"pointing-{split}-{method}", report, head, cells, [f"`{command}`"], BELOW)


def percent(share: float) -> str:
    """A share in percent; "" for the error of a single picture's, which is not known."""
    return "" if np.isnan(share) else f"{100 * share:.1f}"


def rows_of(name: str, records: list[Judged]) -> list[dict[str, Any]]:
    """One row for each category of a model's tasks, and one for all of a task."""
    rows = []
    for task in TASKS:
        own = [record for record in records if record.task == task]
        for category in sorted({record.category for record in own}):
            rows.append(summary(name, task, category, [r for r in own if r.category == category]))
        # A scene word is about most of the picture: counted in, it would hide how the others do.
        things = [record for record in own if record.category != "scene"]
        if things and len({record.category for record in things}) > 1:
            rows.append(summary(name, task, "all things", things))
    return rows


def summary(name: str, task: str, category: str, records: list[Judged]) -> dict[str, Any]:
    """One row of the table."""
    found = shares(((r.hit, r.centre, r.chance) for r in records), [r.picture for r in records])
    prior = float(np.mean([r.prior for r in records]))
    return {"model": name, "task": task, "category": category, "n": len(records), **found, "prior": prior}


if __name__ == "__main__":
    typer.run(main)
