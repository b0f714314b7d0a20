"""What the page of failures says where everything is known: classes, words and answers about vignettes (section 6.1).

The tool that a user points at pictures of their own, `mmcam.diagnosis.failures`, is pointed at test vignettes: kinds of
things that a classifier misses, words of captions that are untrue, wrong answers. As masks of everything are at hand,
it says of each failure whether the map of the truth and that of what was said point at the thing. What a map of the
truth does where the model is right stands beside it: a failure of looking should show as a difference of the two.

    python -m experiments.paper.failure_vignettes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import models
from experiments.lib.picture_tables import save_png, write_table
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures.run import find_failures
from mmcam.diagnosis.failures.summary import Summary
from mmcam.evaluation.uncertainty import Mean

Row = tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What is judged, by which bundled model, and the columns of the table that says what is true."""

    what: str
    model: str
    columns: Row
    method: str


TASKS = (
    Task("classes", "vignette-classifier", ("picture", "class", "mask"), "gradcam"),
    Task("words", "vignette-show-attend-tell", ("picture", "caption", "mask", "name"), "layercam"),
    Task("answers", "vignette-vqa", ("picture", "question", "answer", "mask"), "layercam"),
)


def main(
    pictures: Annotated[int, typer.Option(min=2, help="Test vignettes.")] = 300,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the pictures and the pages.")] = Path("runs/failures"),
) -> None:
    """Judge, write a page of each task to WORK, and failure-vignettes (.json, .md) to OUT."""
    rows = []
    for task in TASKS:
        source = written(task, pictures, work)
        explainer = Explainer(models.load(task.model), {"method": task.method})
        rows.append((task, find_failures(source, explainer, work / f"{task.what}.html", tell=print)))
    command = f"python -m experiments.paper.failure_vignettes --pictures {pictures}"
    table(rows, stamp(command, pictures=pictures), out / "failure-vignettes")


def table(rows: Iterable[tuple[Task, Summary]], stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table."""
    head = (
        "judged", "model", "method", "n", "wrong %", "truth's map points at the thing, right %", "wrong %",
        "map of what was said, wrong %", "mass on the thing, right %", "wrong %", "rank correlation of the two maps",
        "both / truth only / said only / neither",
    )  # fmt: skip
    cells, report = [], []
    for task, found in rows:
        right, wrong = found.sides["right"], found.sides["wrong"]
        points = [with_error(each, 100) for each in (right.points, wrong.points, wrong.said_points)]
        shares = [with_error(each, 100) for each in (right.mass, wrong.mass)]
        places = " / ".join(str(found.places.get(name, 0)) for name in ("both", "truth", "said", "neither"))
        cells.append(
            [task.what, task.model, task.method, str(right.n + wrong.n), with_error(found.wrong, 100), *points, *shares,
             with_error(wrong.agreement, digits=2), places]
        )  # fmt: skip
        sides = {name: {key: vars(v) for key, v in vars(s).items() if isinstance(v, Mean)} | {"n": s.n}
                 for name, s in found.sides.items()}  # fmt: skip
        report.append(
            {**vars(task), "wrong": vars(found.wrong), "sides": sides, "places": found.places,
             "skipped": len(found.skipped), "confusions": found.confusions[:20]}
        )  # fmt: skip
    below = [
        "",
        "Wrong: a kind that is there and held for absent; a content word that none of five captions has and no mask of "
        "a kind, colour, texture, scale or scene bears out; an answer that is not the true one. Words that say where "
        "things are have no mask: one that no caption uses counts as untrue though it may be true. Points: the maximum "
        "lies on the visible pixels of what it is about, without tolerance. Places count the failures where a mask "
        "shows the thing. ± standard error, clustered by picture. The paper shows such pictures and gives no figures.",
    ]
    show(path, {**stamped, "rows": report}, head, cells, [f"`{stamped['command']}`"], below)


def written(task: Task, pictures: int, work: Path) -> Path:
    """The table of what is true of the vignettes, with their pictures and masks as files."""
    table = work / f"{task.what}-{pictures}.csv"
    if not table.exists():
        lines = [line for index in range(pictures) for line in _lines(task.what, index, work)]
        write_table(table, task.columns, [dict(zip(task.columns, line, strict=True)) for line in lines])
    return table


def _lines(what: str, index: int, work: Path) -> Iterator[Row]:
    scene = vignettes.draw(vignettes.seed("test", index))
    picture = _kept(work / "pictures" / f"{index}.png", scene.image)
    if what == "answers":
        for number, question in enumerate(scene.questions):
            shown = _mask(work, f"{index}-question-{number}", scene.mask(question.things)) if question.things else ""
            yield picture, question.text, question.answer, shown
        return
    if what == "words":
        yield from ((picture, caption.text, "", "") for caption in scene.captions)
    for name, mask in concepts(scene, what):
        file = _mask(work, f"{index}-{name}", mask)
        yield (picture, "", file, name) if what == "words" else (picture, name, file)


def concepts(scene: vignettes.Vignette, what: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """What can be seen in a vignette, with its mask: its kinds; of words also their looks, and the scene."""
    things = scene.truth.things
    named = [(kind, scene.kind_mask(kind)) for kind in dict.fromkeys(thing.kind for thing in things)]
    if what == "words":
        named += [(each, scene.colour_mask(each)) for each in dict.fromkeys(thing.colour for thing in things)]
        named += [(each, scene.texture_mask(each)) for each in dict.fromkeys(thing.texture for thing in things)]
        named += [(each, scene.scale_mask(each)) for each in dict.fromkeys(thing.scale for thing in things)]
        named.append((scene.truth.scene, scene.scene_mask))
    yield from ((name, mask) for name, mask in named if mask.any())


def _mask(work: Path, name: str, mask: NDArray[np.bool_]) -> str:
    return _kept(work / "masks" / f"{name}.png", Image.fromarray(mask.astype(np.uint8) * 255))


def _kept(path: Path, image: Image.Image) -> str:
    """The file's name as its table has it, written if it is not there."""
    if not path.exists():
        save_png(path, image)
    return f"{path.parent.name}/{path.name}"


if __name__ == "__main__":
    typer.run(main)
