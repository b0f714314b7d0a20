"""What the bundled models say rightly of vignettes, with its explanation and what is true of what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.progress import track

import mmcam
from mmcam.datasets import vignettes

Fact = tuple[str, str]
"""A category and a name."""


@dataclass(frozen=True)
class Target:
    """Something a model said rightly of a vignette, with its explanation and what it is about."""

    scene: vignettes.Vignette
    exp: mmcam.Explanation
    meant: frozenset[Fact]
    position: int = 0  # of a word in its caption


def right_targets(name: str, model: Any, pictures: int) -> Iterator[Target]:
    """Every class, true content word or right answer of a model about the first test vignettes."""
    for i in track(range(pictures), name):
        scene = vignettes.draw(vignettes.seed("test", i))
        if name == "vignette-classifier":
            kinds = sorted({thing.kind for thing in scene.truth.things})
            for kind, exp in zip(kinds, mmcam.explain_class(model, scene.image, kinds), strict=True):
                yield Target(scene, exp, facts(scene, [j for j, t in enumerate(scene.truth.things) if t.kind == kind]))
        elif name == "vignette-captioner":
            caption = mmcam.explain_caption(model, scene.image)
            for word in vignettes.captions.check(caption.caption, scene.truth):
                if word.correct:
                    where = {("scene", scene.truth.scene)} if word.category == "scene" else facts(scene, word.things)
                    yield Target(scene, caption[word.position], frozenset(where), word.position)
        else:
            asked = [question for question in scene.questions if question.things]
            if not asked:
                continue
            texts = [question.text for question in asked]
            exps = mmcam.explain_answer(model, [scene.image] * len(asked), texts)
            for question, exp in zip(asked, exps, strict=True):
                if exp.target == question.answer:
                    yield Target(scene, exp, facts(scene, question.things))


def facts(scene: vignettes.Vignette, things: Iterable[int] | None = None) -> frozenset[Fact]:
    """(category, name) of all that is true of some things; of the whole picture, with its scene, if none are named."""
    chosen = scene.truth.things if things is None else [scene.truth.things[j] for j in things]
    true = {("scene", scene.truth.scene)} if things is None else set()
    for thing in chosen:
        true |= {("object", thing.kind), ("colour", thing.colour), ("texture", thing.texture)}
        true |= {("part", part) for part in thing.parts}
    return frozenset(true)
