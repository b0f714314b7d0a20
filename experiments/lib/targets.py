"""One target a vignette, of every task, with the masks of the things that it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import torch

import mmcam
import models
from mmcam.datasets import vignettes

TASKS: Final = ("class", "word", "answer", "several")

Explain = Callable[..., Any]
Target = tuple[Explain, np.ndarray, Callable[[], object]]


def questions(task: str, split: str, count: int) -> Iterator[Target]:
    """(explain with a method, masks (M,H,W) of the things it is about, a plain forward) for one target a picture."""
    model: Any = models.load("vignette-" + {"word": "captioner", "answer": "vqa"}.get(task, "classifier"))
    model.to(memory_format=torch.channels_last)  # a third faster on CPUs
    missing = count
    for i in range(100 * count):
        scene = vignettes.draw(vignettes.seed(split, i))
        target = choose(task, model, scene, i)
        if target is None:
            continue
        explain, masks = target
        x = model.preprocess(scene.image)[0][None]
        yield explain, masks, plain(model, x)
        missing -= 1
        if not missing:
            return


def choose(task: str, model: Any, scene: vignettes.Vignette, i: int) -> tuple[Explain, np.ndarray] | None:
    """One target of a picture, and the masks of the things it is about; None where the picture has none."""
    things = scene.truth.things
    kinds = sorted({thing.kind for thing in things})
    if task == "class":
        kind = kinds[i % len(kinds)]
        return partial(mmcam.explain_class, model, scene.image, kind), scene.kind_mask(kind)[None]
    if task == "several":
        groups = [[n for n, thing in enumerate(things) if thing.kind == kind] for kind in kinds]
        group = next((group for group in groups if len(group) > 1), [])
        masks = np.stack([scene.mask([n]) for n in group]) if group else np.zeros((1, 1, 1), bool)
        if not masks.any((1, 2)).all():
            return None  # none there, or one hides another whole
        return partial(mmcam.explain_class, model, scene.image, things[group[0]].kind), masks
    x = model.preprocess(scene.image)[0][None]
    if task == "word":
        caption = model.spell(model.generate(x)[0])
        checked = vignettes.captions.check(caption, scene.truth)
        words = [word for word in checked if word.category == "object" and word.correct and word.things]
        if not words:
            return None
        word = words[i % len(words)]
        of_word = partial(mmcam.explain_caption, model, scene.image, word.position, caption=caption)
        return of_word, scene.mask(word.things)[None]
    about = [question for question in scene.questions if question.things]
    with torch.no_grad():
        given = [model.answers[int(model.answer_scores(x, [question.text]).argmax())] for question in about]
    right = [question for question, answer in zip(about, given, strict=True) if question.answer == answer]
    if not right:
        return None
    question = right[i % len(right)]
    explain = partial(mmcam.explain_answer, model, scene.image, question.text, question.answer)
    return explain, scene.mask(question.things)[None]


def plain(model: Any, x: torch.Tensor) -> Callable[[], object]:
    """The forward pass that times are multiples of: the picture's, up to the encoder's vector."""

    def run() -> object:
        with torch.no_grad():
            return model.encoder(x)

    return run
