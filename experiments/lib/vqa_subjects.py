"""Pictures with questions, and what the maps of the answers are compared with: of vignettes, of VQA's photographs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import mmcam
from experiments.lib.asked import Blind, Question, Split, official
from experiments.lib.human_prior import Grid, HumanPrior, cells
from experiments.lib.pictures import photographs
from experiments.lib.text_prior import expected, text_prior
from mmcam.datasets import asked, vignettes, vqa_hat


@dataclass(frozen=True)
class Case:
    """A question and what its map is compared with.

    Attributes:
        question: with people's answers.
        truths: maps (h,w) of where people looked, one a person; of a vignette its mask.
        mask: (H,W), true on what the question is about; None where that is not known.
        prior: the map (14,14) of the text alone and whether it is a less special one; None where there is none.
        guess: the answer of the question-only baseline; "" where there is none.
    """

    question: Question
    truths: tuple[NDArray[np.floating], ...]
    mask: NDArray[np.bool_] | None
    prior: tuple[Grid | None, bool]
    guess: str = ""


@dataclass(frozen=True)
class Subject:
    """A picture by its name and place, and how many questions it is asked; `open` gives it with those to be judged."""

    name: str
    number: int
    asked: int
    open: Callable[[], tuple[Image.Image, list[Case]]]


def of_vignettes(pictures: int, split: str) -> list[Subject]:
    """The first pictures of a split and their questions about things."""
    prior = text_prior("answer")

    def subject(i: int) -> Subject:
        seed = vignettes.seed(split, i)

        def open_picture() -> tuple[Image.Image, list[Case]]:
            scene = vignettes.draw(seed)
            cases = []
            for question in scene.questions:
                mask = scene.mask(question.things)
                if mask.any():
                    said = Question(question.text, question.type, (question.answer,))
                    cases.append(Case(said, (mask.astype(float),), mask, of_text(prior, question)))
            return scene.image, cases

        number = len(vignettes.questions.ask(vignettes.describe(seed)))
        return Subject(str(i), i, number, open_picture)

    return [subject(i) for i in range(pictures)]


def of_text(prior: Mapping[str, Grid], question: vignettes.Question) -> tuple[Grid, bool]:
    """Where what a question is about usually is, (14,14), and whether that is known of its type only."""
    mean_mask = expected(prior, question.type, question.text)
    return cells(mean_mask), f"{question.type}/{question.text}" not in prior


def of_photographs(root: Path, hat: Path | None, model: Any, pictures: int | None) -> list[Subject]:
    """Photographs outside the training part and their questions; with VQA-HAT, those that people's attention is of."""
    items = official(root, ("v2_", "") if hat is None else ("",))
    learnt = [Question(item.question, item.type, item.answers) for item in items if item.split == "train"]
    if not learnt:
        raise typer.BadParameter(f"{root} names no question of the training part, which a guess needs; add its files.")
    blind = Blind(Split(photographs((), model.preprocess), [learnt]))
    files = {} if hat is None else vqa_hat.attention_files(hat / "vqahat_val")
    own: defaultdict[Path, list[asked.Asked]] = defaultdict(list)
    for item in items:
        if item.split != "train" and (hat is None or item.id in files):
            own[item.path].append(item)
    if hat is not None:
        check_version(items)
        if not own:
            raise typer.BadParameter(f"{hat / 'vqahat_val'} has a map of none of the questions outside training.")
    kept = [item for group in own.values() for item in group if files]
    looked = {item.id: tuple(cells(vqa_hat.read_map(path)) for path in files[item.id]) for item in kept}
    prior = HumanPrior((item.path, item.question, np.mean(looked[item.id], axis=0)) for item in kept)

    def open_photograph(path: Path) -> tuple[Image.Image, list[Case]]:
        cases = []
        for item in own[path]:
            said = Question(item.question, item.type, item.answers)
            cases.append(Case(said, looked.get(item.id, ()), None, prior(path, item.question), blind(said)))
        return mmcam.load_image(path), cases

    return [
        Subject(path.name, i, len(own[path]), partial(open_photograph, path))
        for i, path in enumerate(list(own)[:pictures])
    ]


def check_version(items: Iterable[asked.Asked]) -> None:
    """Refuse the ids of VQA v2, the picture's number and three digits more, which VQA-HAT's may equal by accident."""
    if all(item.id // 1000 == int(item.path.stem[-12:]) for item in items):
        raise typer.BadParameter("These questions are numbered as in VQA version 2, VQA-HAT's as in version 1; get v1.")
