"""A vignette, explained by the models that know vignettes, and what each map hit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

import mmcam
from mmcam.datasets import vignettes
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.demo.panel import write_panel
from mmcam.evaluation.pointing import inside
from mmcam.files import write_whole
from mmcam.models import default, dissection, load

SHOWN = ("colour", "kind", "texture", "relation", "left_right", "part", "exists")
"""Question types in the order the tour prefers them; each is about things one can point at."""


def explain_vignette(seed: int, out: Path, console: Console) -> tuple[dict[str, Path], list[str]]:
    """A class, a caption, an answer and why, each held against the truth: the files and commands to go on with.

    Raises:
        ExplainError: the models are not there.
        ValueError: a seed that belongs to no split.
    """
    scene = vignettes.draw(seed)
    tour = _Tour(scene, out, console)
    picture = write_whole(out / "picture.png", lambda file: scene.image.save(file, "PNG"))
    tour.say(f"\n[bold]A vignette[/], drawn, so that it is known what is where (seed {seed}): {picture}")
    classifier, captioner, vqa = (load(default(f"vignette-{task}")) for task in ("class", "caption", "answer"))
    kind = max(scene.truth.things, key=lambda thing: (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])).kind
    tour.show_class(classifier, kind)
    word = tour.show_caption(captioner)
    answer = tour.show_answer(vqa)
    tour.say_why(classifier, kind, word, answer)
    return tour.files, [f'mmcam why {picture} --word "{word.target}" --model {default("vignette-caption")}']


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
        """4. Where the kind of the largest thing is seen."""
        exp = mmcam.explain_class(classifier, self.scene.image, kind)
        self.files["the vignette's class"] = write_panel(self.out / "class.png", [exp])
        verdict = _verdict(exp, self.scene.kind_mask(kind))
        self.say(
            f"\n[bold]4. A class.[/] The classifier scores “{kind}” {exp.score:.2f}. "
            f"Its map is strongest at {exp.peak()}: {verdict}"
        )

    def show_caption(self, captioner: nn.Module) -> mmcam.Explanation:
        """5. Every word of a caption; gives the first that names a thing, or else the first of all."""
        caption = mmcam.explain_caption(captioner, self.scene.image)
        self.files["the vignette's caption"] = caption.save(self.out / "caption.png")
        self.say(f"\n[bold]5. A caption.[/] The captioner says “{caption.caption}”. One map a word, in one pass:")
        checked = vignettes.captions.check(caption.caption, self.scene.truth)
        things = [word for word in checked if word.category == "object"]
        for thing in things:
            word, mask = caption[thing.position], self.scene.mask(thing.things)
            verdict = _verdict(word, mask) if thing.correct else "[red]there is none in the picture[/]"
            self.say(f"   “{word.target}” (log-probability {word.score:.2f}) looked most at {word.peak()}: {verdict}")
        return caption[things[0].position] if things else caption[0]

    def show_answer(self, vqa: nn.Module) -> mmcam.Explanation:
        """6. The answer to a question about something one can point at."""
        scene = self.scene
        question = min(
            scene.questions, key=lambda q: SHOWN.index(q.type) if q.type in SHOWN and q.things else len(SHOWN)
        )
        answer = mmcam.explain_answer(vqa, scene.image, question.text)
        self.files["the vignette's answer"] = write_panel(self.out / "answer.png", [answer])
        right = "right" if answer.target == question.answer else f"wrong: it is “{question.answer}”"
        self.say(f"\n[bold]6. An answer.[/] “{question.text}?” — “{answer.target}” ({right}).")
        if question.things:
            self.say(f"   It looked most at {answer.peak()}: {_verdict(answer, scene.mask(question.things))}")
        return answer

    def say_why(self, classifier: nn.Module, kind: str, word: mmcam.Explanation, answer: mmcam.Explanation) -> None:
        """7. The units behind a contrast of classes, a word and an answer."""
        units = {task: dissection(default(f"vignette-{task}")) for task in ("class", "caption", "answer")}
        others = [thing.kind for thing in self.scene.truth.things if thing.kind != kind]
        rather = mmcam.explain_class(classifier, self.scene.image, kind, contrast=others[0] if others else None)
        why = rather.why(units["class"])
        figure = why.figure(VignetteConcepts("val", units["class"].pictures))
        self.files["the vignette's why"] = write_whole(self.out / "why.png", lambda file: figure.save(file, "PNG"))
        self.say("\n[bold]7. Why, in words.[/] Units of the encoders have names, found by dissecting them:")
        for text in (why, word.why(units["caption"]), answer.why(units["answer"])):
            self.say(f"   {text}")


def _verdict(exp: mmcam.Explanation, mask: NDArray[np.bool_]) -> str:
    """Whether the maximum lies on the thing it should, by the picture's own truth."""
    if exp.empty:
        return exp.note
    return "[green]on the thing itself[/]" if inside(exp.peak(), mask) else "[yellow]beside the thing[/]"
