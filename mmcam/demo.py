"""The tour: one vignette, explained by all three bundled models."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

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
    tour = _Tour(scene, out, console)
    picture = write_whole(out / "picture.png", lambda file: scene.image.save(file, "PNG"))
    tour.say(f"\n[bold]A vignette[/] (seed {seed}), written to {picture}")
    classifier, captioner, vqa = (load(default(f"vignette-{task}")) for task in ("class", "caption", "answer"))
    kind = max(scene.truth.things, key=lambda thing: (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])).kind
    tour.show_class(classifier, kind)
    word = tour.show_caption(captioner)
    answer = tour.show_answer(vqa)
    tour.say_why(classifier, kind, word, answer)
    tour.say(f"\nIn {time.perf_counter() - begin:.1f} s. Open:")
    for name, file in tour.files.items():
        console.print(f"   {file}   the {name}", highlight=False, soft_wrap=True)
    tour.say("\nRed is where the score came from. Next:")
    for line in (
        f'mmcam explain {picture} --word "{word.target}"',
        f'mmcam why {picture} --word "{word.target}"',
        "mmcam explain YOUR_PHOTO.jpg --model torchvision:resnet50",
    ):
        console.print(f"   {line}", highlight=False, soft_wrap=True)


@dataclass
class _Tour:
    """The stations of the tour, the files they write, and where they are told."""

    scene: vignettes.Vignette
    out: Path
    console: Console
    files: dict[str, Path] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """A line on the terminal."""
        self.console.print(text, highlight=False)

    def show_class(self, classifier: nn.Module, kind: str) -> None:
        """1. Where the kind of the largest thing is seen."""
        exp = mmcam.explain_class(classifier, self.scene.image, kind)
        self.files["class"] = _panel([exp], self.out / "class.png")
        verdict = _verdict(exp, self.scene.kind_mask(kind))
        self.say(
            f"\n[bold]1. A class.[/] The classifier scores “{kind}” {exp.score:.2f}. "
            f"Its map is strongest at {exp.peak()}: {verdict}"
        )

    def show_caption(self, captioner: nn.Module) -> mmcam.Explanation:
        """2. Every word of a caption; gives the first that names a thing, or else the first of all."""
        caption = mmcam.explain_caption(captioner, self.scene.image)
        self.files["caption"] = caption.save(self.out / "caption.png")
        self.say(f"\n[bold]2. A caption.[/] The captioner says “{caption.caption}”. One map a word, in one pass:")
        checked = vignettes.captions.check(caption.caption, self.scene.truth)
        things = [word for word in checked if word.category == "object"]
        for thing in things:
            word, mask = caption[thing.position], self.scene.mask(thing.things)
            verdict = _verdict(word, mask) if thing.correct else "[red]there is none in the picture[/]"
            self.say(f"   “{word.target}” (log-probability {word.score:.2f}) looked most at {word.peak()}: {verdict}")
        return caption[things[0].position] if things else caption[0]

    def show_answer(self, vqa: nn.Module) -> mmcam.Explanation:
        """3. The answer to a question about something one can point at."""
        scene = self.scene
        question = min(
            scene.questions, key=lambda q: SHOWN.index(q.type) if q.type in SHOWN and q.things else len(SHOWN)
        )
        answer = mmcam.explain_answer(vqa, scene.image, question.text)
        self.files["answer"] = _panel([answer], self.out / "answer.png")
        right = "right" if answer.target == question.answer else f"wrong: it is “{question.answer}”"
        self.say(f"\n[bold]3. An answer.[/] “{question.text}?” — “{answer.target}” ({right}).")
        if question.things:
            self.say(f"   It looked most at {answer.peak()}: {_verdict(answer, scene.mask(question.things))}")
        return answer

    def say_why(self, classifier: nn.Module, kind: str, word: mmcam.Explanation, answer: mmcam.Explanation) -> None:
        """4. The units behind a contrast of classes, a word and an answer."""
        units = {task: dissection(default(f"vignette-{task}")) for task in ("class", "caption", "answer")}
        others = [thing.kind for thing in self.scene.truth.things if thing.kind != kind]
        rather = mmcam.explain_class(classifier, self.scene.image, kind, contrast=others[0] if others else None)
        why = rather.why(units["class"])
        figure = why.figure(VignetteConcepts("val", units["class"].pictures))
        self.files["why"] = write_whole(self.out / "why.png", lambda file: figure.save(file, "PNG"))
        self.say("\n[bold]4. Why, in words.[/] Units of the encoders have names, found by dissecting them:")
        for text in (why, word.why(units["caption"]), answer.why(units["answer"])):
            self.say(f"   {text}")


def _panel(explanations: list[mmcam.Explanation], path: Path) -> Path:
    """The picture beside its overlays, titled."""
    panels = [(explanations[0].image, "")] + [(exp.overlay(), exp.target) for exp in explanations]
    notes = ["", *(f"{exp.score:.2f}" for exp in explanations)]
    return write_whole(path, lambda file: draw_strip(panels, notes, side=320).save(file, "PNG"))


def _verdict(exp: mmcam.Explanation, mask: NDArray[np.bool_]) -> str:
    """Whether the maximum lies on the thing it should, by the picture's own truth."""
    if exp.empty:
        return exp.note
    return "[green]on the thing itself[/]" if inside(exp.peak(), mask) else "[yellow]beside the thing[/]"
