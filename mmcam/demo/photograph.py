"""A photograph, explained by the three models that know photographs."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.markup import escape

import mmcam
from mmcam.datasets.photographs import shipped
from mmcam.demo.panel import write_panel
from mmcam.files import write_whole
from mmcam.models import default, load

METHOD = "layercam"  # of words and answers: Grad-CAM forgets where a model with attention looked
ANY = "where is this"  # asked of a photograph that somebody names


def explain_photograph(
    photo: Path | None, question: str | None, out: Path, console: Console
) -> tuple[dict[str, Path], list[str]]:
    """By class, caption and answer: the files that were written, by what they show, and commands to go on with.

    Raises:
        ExplainError: the models are not there, or do not know a word of the question.
        PictureError: the photograph cannot be read.
    """

    def say(text: str) -> None:
        console.print(text, highlight=False)

    if photo is None:
        own = shipped()
        picture = write_whole(out / "photo.jpg", lambda file: file.write(own.path.read_bytes()))
        asked, whose = question or own.question, f" ({own.credit})"
    else:
        picture, asked, whose = photo, question or ANY, ""
    image = mmcam.load_image(picture)
    say(f"\n[bold]A photograph[/], {escape(f'{picture}{whose}')}")
    classifier, captioner, vqa = (load(default(task)) for task in ("class", "caption", "answer"))

    seen = mmcam.explain_class(classifier, image)
    files = {"the photograph's class": write_panel(out / "photo-class.png", [seen])}
    say(f"\n[bold]1. A class.[/] The classifier takes it for “{escape(seen.target)}”, most because of {seen.peak()}.")

    caption = mmcam.explain_caption(captioner, image, method=METHOD)
    files["its caption"] = caption.save(out / "photo-caption.png")
    say(f"\n[bold]2. A caption.[/] The captioner says “{caption.caption}”. One map a word, in one pass.")

    answer = mmcam.explain_answer(vqa, image, asked, method=METHOD)
    files["its answer"] = write_panel(out / "photo-answer.png", [answer])
    say(f"\n[bold]3. An answer.[/] “{escape(asked)}?” — “{answer.target}”, most because of {answer.peak()}.")
    say("   Whether these maps are right nobody has marked in this photograph. In the next picture it is known.")

    likeliest = max(caption, key=lambda word: len(word.target)).target
    command = f"mmcam explain {shlex.quote(str(picture))}"
    return files, [f"{command} --word {likeliest}", f'{command} --question "{asked}" --by-word']
