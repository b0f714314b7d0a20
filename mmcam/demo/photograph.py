"""A photograph, explained by the three models that know photographs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

import mmcam
from mmcam.datasets.photographs import shipped
from mmcam.demo.panel import write_panel
from mmcam.files import write_whole
from mmcam.models import default, load

METHOD = "layercam"  # of words and answers: Grad-CAM forgets where a model with attention looked
LAYER = "features.4"  # of the captioner: 28×28 cells, at which words' maps fall on what they name most often
ANY = "where is this"  # asked of a photograph that somebody names


def explain_photograph(
    photo: Path | None, question: str | None, out: Path, console: Console
) -> tuple[dict[str, Path], list[str]]:
    """By class, caption and answer: the files that were written, by what they show, and commands to go on with.

    Raises:
        ExplainError: the models are not there, or do not know a word of the question.
        PictureError: the photograph cannot be read.
    """
    if photo is None:
        own = shipped()
        picture, asked, whose = own.path, question or own.question, f", which comes with mmcam ({own.credit})"
        classes: list[str] | None = list(own.classes)
    else:
        picture, asked, whose, classes = photo, question or ANY, "", None
    image = mmcam.load_image(picture)
    classifier, captioner, vqa = (load(default(task)) for task in ("class", "caption", "answer"))
    found = mmcam.explain_class(classifier, image, classes)
    seen = found if isinstance(found, list) else [found]
    caption = mmcam.explain_caption(captioner, image, method=METHOD, layer=LAYER)
    answer = mmcam.explain_answer(vqa, image, asked, method=METHOD)

    if photo is None:
        picture = write_whole(out / f"photo{own.path.suffix}", lambda file: file.write(own.path.read_bytes()))
    files = {
        "the photograph's class": write_panel(out / "photo-class.png", seen),
        "the photograph's caption": caption.save(out / "photo-caption.png"),
        "the photograph's answer": write_panel(out / "photo-answer.png", [answer]),
    }
    for line in (
        f"\n[bold]A photograph[/], {escape(f'{picture}{whose}')}",
        f"\n[bold]1. A class.[/] {escape(_classes(seen))}",
        f"\n[bold]2. A caption.[/] The captioner says “{escape(caption.caption)}”. One map a word, in one pass.",
        f"\n[bold]3. An answer.[/] “{escape(asked)}?” — “{escape(answer.target)}”.",
        "   Nobody has marked what is where in this photograph, so look for yourself. In the next picture it is known.",
    ):
        console.print(line, highlight=False)
    longest = max(caption, key=lambda word: len(word.target)).target
    command = f"mmcam explain {shlex.quote(str(picture))}"
    return files, [
        f"{command} --word {longest} --method {METHOD} --layer {LAYER}",
        f'{command} --question "{asked}" --by-word',
    ]


def _classes(seen: Sequence[mmcam.Explanation]) -> str:
    """What the classifier holds for likeliest, and what is explained."""
    prediction = seen[0].prediction
    best = [] if prediction is None else prediction.best[:3]
    told = ", ".join(f"{one.name} {one.probability:.2f}" for one in best if one.probability is not None)
    return f"The classifier's likeliest: {told}. Explained: {', '.join(exp.target for exp in seen)}."
