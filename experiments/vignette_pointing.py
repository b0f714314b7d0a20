"""Do the maps fall on what they are about? Pointing accuracy on vignettes, whose masks are exact.

For every test picture: each kind in it (classifier), each content word of the generated caption that is true of the
picture (captioner), each question about things (VQA) that is answered rightly; a hit if the map's maximum lies on the
thing, without tolerance. Beside it the same masks hit by the picture's centre and by a random pixel.

    python -m experiments.vignette_pointing
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track

import mmcam
import models
from experiments.tables import show
from mmcam.datasets import vignettes
from mmcam.evaluation.pointing import centre, chance, inside

Row = tuple[bool, bool, float]  # hit, hit by the centre, chance


def main(
    pictures: int = 500,
    split: str = "test",
    method: str = "gradcam",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Measure all three tasks and write pointing-SPLIT-METHOD.json and .md."""
    classifier, captioner, vqa = (models.load(f"vignette-{name}") for name in ("classifier", "captioner", "vqa"))
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for i in track(range(pictures), "pictures"):
        scene = vignettes.draw(vignettes.seed(split, i))
        kinds = sorted({thing.kind for thing in scene.truth.things})
        for kind, exp in zip(kinds, mmcam.explain_class(classifier, scene.image, kinds, method=method), strict=True):
            rows["class", "object"].append(judged(exp, scene.kind_mask(kind)))
        caption = mmcam.explain_caption(captioner, scene.image, method=method)
        for word in vignettes.captions.check(caption.caption, scene.truth):
            if word.correct and word.things:
                rows["word", word.category].append(judged(caption[word.position], scene.mask(word.things)))
        asked = [q for q in scene.questions if q.things]
        for question, exp in zip(asked, answers(vqa, scene, asked, method), strict=True):
            if exp.target == question.answer:
                rows["answer", question.type].append(judged(exp, scene.mask(question.things)))
    report = {
        "command": f"python -m experiments.vignette_pointing --pictures {pictures} --split {split} --method {method}",
        "versions": {"mmcam": mmcam.__version__, "torch": torch.__version__},
        "rows": [summary(*key, found) for key, found in sorted(rows.items(), key=order)]
        + [
            summary(task, "all", [row for key, found in rows.items() if key[0] == task for row in found])
            for task in TASKS
        ],
    }
    table(report, out / f"pointing-{split}-{method}")


TASKS = ("class", "word", "answer")


def order(item: tuple[tuple[str, str], list[Row]]) -> tuple[int, str]:
    """Tasks as in the paper, then by name."""
    return TASKS.index(item[0][0]), item[0][1]


def answers(
    vqa: torch.nn.Module, scene: vignettes.Vignette, asked: list[vignettes.Question], method: str
) -> list[mmcam.Explanation]:
    """One explanation a question, in one batch."""
    if not asked:
        return []
    return mmcam.explain_answer(vqa, [scene.image] * len(asked), [q.text for q in asked], method=method)


def judged(exp: mmcam.Explanation, mask: np.ndarray) -> Row:
    """One map against its mask."""
    return inside(exp.peak(), mask), inside(centre(mask), mask), chance(mask)


def summary(task: str, category: str, rows: list[Row]) -> dict[str, object]:
    """Means with the standard error of the hits."""
    hit, middle, random = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return {
        "task": task,
        "category": category,
        "n": len(rows),
        "pointing": float(hit.mean()),
        "standard_error": float(hit.std() / np.sqrt(len(hit))),
        "centre": float(middle.mean()),
        "random": float(random.mean()),
    }


def table(report: dict[str, Any], path: Path) -> None:
    """Print the table, and write it as JSON and Markdown."""
    head = ("task", "truth of", "n", "pointing %", "± s.e.", "centre %", "random %")
    cells = []
    for row in report["rows"]:
        shares = [f"{100 * row[key]:.1f}" for key in ("pointing", "standard_error", "centre", "random")]
        cells.append([row["task"], row["category"], str(row["n"]), *shares])
    show(path, report, head, cells, [f"`{report['command']}`"])


if __name__ == "__main__":
    typer.run(main)
