"""The tour: one vignette, explained by all three bundled models."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import mmcam
from mmcam.datasets import vignettes
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation.pointing import inside
from mmcam.files import write_whole
from mmcam.models import default, dissection, load

SHOWN = ("colour", "kind", "texture", "relation", "left_right", "part", "exists")
"""Question types in the order the tour prefers them; each is about things one can point at."""


def run_demo(seed: int, out: Path, console: Console) -> None:
    """Draw the vignette of a seed, write a class overlay, a caption strip and an answer map, and say what and why.

    Raises:
        ExplainError: the bundled models are not there.
        ValueError: a seed that belongs to no split.
    """
    begin = time.perf_counter()
    scene = vignettes.draw(seed)
    picture = write_whole(out / "picture.png", lambda file: scene.image.save(file, "PNG"))
    classifier, captioner, vqa = (load(default(task)) for task in ("class", "caption", "answer"))

    kind = max(scene.truth.things, key=lambda thing: (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])).kind
    by_class = mmcam.explain_class(classifier, scene.image, kind)
    files = {"class": _panel([by_class], out / "class.png")}
    say = lambda text: console.print(text, highlight=False)  # noqa: E731
    say(f"\n[bold]A vignette[/] (seed {seed}), written to {picture}")
    say(f"\n[bold]1. A class.[/] The classifier scores “{kind}” {by_class.score:.2f}. {_where(by_class, scene, kind)}")

    caption = mmcam.explain_caption(captioner, scene.image)
    files["caption"] = caption.save(out / "caption.png")
    say(f"\n[bold]2. A caption.[/] The captioner says “{caption.caption}”. One map a word, in one pass:")
    checked = {word.position: word for word in vignettes.captions.check(caption.caption, scene.truth)}
    for i, word in enumerate(caption):
        if i in checked and checked[i].category == "object":
            mask = scene.mask(checked[i].things)
            verdict = _verdict(word, mask) if checked[i].correct else "[red]there is none in the picture[/]"
            say(f"   “{word.target}” (log-probability {word.score:.2f}) looked most at {word.peak()}: {verdict}")

    question = min(scene.questions, key=lambda q: SHOWN.index(q.type) if q.type in SHOWN and q.things else len(SHOWN))
    answer = mmcam.explain_answer(vqa, scene.image, question.text)
    files["answer"] = _panel([answer], out / "answer.png")
    right = "right" if answer.target == question.answer else f"wrong: it is “{question.answer}”"
    say(f"\n[bold]3. An answer.[/] “{question.text}?” — “{answer.target}” ({right}).")
    if question.things:
        say(f"   It looked most at {answer.peak()}: {_verdict(answer, scene.mask(question.things))}")

    units = {task: dissection(default(task)) for task in ("class", "caption", "answer")}
    others = [thing.kind for thing in scene.truth.things if thing.kind != kind]
    rather = mmcam.explain_class(classifier, scene.image, kind, contrast=others[0] if others else None)
    why = rather.why(units["class"])
    figure = why.figure(VignetteConcepts("val", units["class"].pictures))
    files["why"] = write_whole(out / "why.png", lambda file: figure.save(file, "PNG"))
    say("\n[bold]4. Why, in words.[/] Units of the encoders have names, found by dissecting them:")
    said = next((exp for i, exp in enumerate(caption) if i in checked and checked[i].category == "object"), caption[0])
    for text in (why, said.why(units["caption"]), answer.why(units["answer"])):
        say(f"   {text}")

    say(f"\nIn {time.perf_counter() - begin:.1f} s. Open:")
    for name, file in files.items():
        console.print(f"   {file}   the {name}", highlight=False, soft_wrap=True)
    next_word = next(
        (exp.target for i, exp in enumerate(caption) if i in checked and checked[i].category == "object"), ""
    )
    say("\nRed is where the score came from. Next:")
    for line in (
        f'mmcam explain {picture} --word "{next_word or caption[0].target}"',
        f'mmcam why {picture} --word "{next_word or caption[0].target}"',
        "mmcam explain YOUR_PHOTO.jpg --model torchvision:resnet50",
    ):
        console.print(f"   {line}", highlight=False, soft_wrap=True)


def _panel(explanations: list[mmcam.Explanation], path: Path) -> Path:
    """The picture beside its overlays, titled."""
    panels = [(explanations[0].image, "")] + [(exp.overlay(), exp.target) for exp in explanations]
    notes = ["", *(f"{exp.score:.2f}" for exp in explanations)]
    return write_whole(path, lambda file: draw_strip(panels, notes, side=320).save(file, "PNG"))


def _where(exp: mmcam.Explanation, scene: vignettes.Vignette, kind: str) -> str:
    return f"Its map is strongest at {exp.peak()}: {_verdict(exp, scene.kind_mask(kind))}"


def _verdict(exp: mmcam.Explanation, mask: NDArray[np.bool_]) -> str:
    """Whether the maximum lies on the thing it should, by the picture's own truth."""
    if exp.empty:
        return exp.note
    return "[green]on the thing itself[/]" if inside(exp.peak(), mask) else "[yellow]beside the thing[/]"
