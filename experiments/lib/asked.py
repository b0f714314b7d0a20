"""What a VQA model is trained and tested on: pictures with many questions each, and the answers to them.

Vignettes come rendered (`experiments.train.render`); photographs come from the official files (`mmcam.datasets.asked`).
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from experiments.lib.pictures import Pictures, photographs, rendered
from experiments.lib.rendered import read
from mmcam.datasets import asked as readers
from mmcam.evaluation.vqa_accuracy import accuracy
from mmcam.image import Preprocess
from models import Answerer
from models.answerer import PAD
from models.speaker import split_words

Data = Literal["vignettes", "vqa", "daquar", "flickr8k-questions"]
COMMON = 1000  # answers a model of photographs can give, as in the Grad-CAM paper
HELD = {"vignettes": ("test", "heldout"), "flickr8k-questions": ("val", "test")}  # else the test split alone
RARE = 2  # words of questions that occur less often in training are unknown


@dataclass(frozen=True)
class Question:
    """One question; `answers` are people's, one or ten, and `answer` is the most frequent of them."""

    text: str
    type: str
    answers: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What a model learns to say."""
        return Counter(self.answers).most_common(1)[0][0]

    def score(self, answer: str) -> float:
        """How right an answer is: the official VQA accuracy where several people answered, else 0 or 1."""
        return float(answer == self.answers[0]) if len(self.answers) == 1 else accuracy(answer, self.answers)


@dataclass(frozen=True)
class Split:
    """Pictures and the questions of each."""

    pictures: Pictures
    questions: list[list[Question]]


def vignette_split(folder: Path, split: str) -> Split:
    """A rendered split."""
    pixels, records = read(folder, split)
    return Split(rendered(pixels), questions_of(records))


def questions_of(records: Sequence[dict[str, Any]]) -> list[list[Question]]:
    """The questions of rendered vignettes."""
    return [[Question(text, kind, (answer,)) for text, kind, answer in record["questions"]] for record in records]


def photo_splits(data: Data, root: Path, pictures: Path | None, preprocess: Preprocess) -> dict[str, Split]:
    """The splits of a set of photographs: "train" and those of `HELD`; what is in none, as "valid", counts as test.

    The official VQA files are those of one version in `root`: training and validation, the latter for the test.
    Questions made of captions have their pictures elsewhere, in `pictures`.
    """
    if data == "flickr8k-questions":
        items = made(root, root if pictures is None else pictures)
    else:
        items = readers.daquar(root) if data == "daquar" else official(root)
    names = ("train", *HELD.get(data, ("test",)))
    own: dict[str, defaultdict[Path, list[Question]]] = {name: defaultdict(list) for name in names}
    for item in items:
        split = item.split if item.split in names else "test"
        own[split][item.path].append(Question(item.question, item.type, item.answers))
    return {name: Split(photographs(list(of), preprocess), list(of.values())) for name, of in own.items()}


def made(root: Path, pictures: Path) -> list[readers.Asked]:
    """The questions that `experiments.train.photo_questions` wrote into `root`, their types those of the rules."""
    return [
        replace(item, split=split)
        for split in ("train", "val", "test")
        for item in readers.vqa(
            root / f"OpenEnded_{split}_questions.json",
            root / f"{split}_annotations.json",
            pictures,
            type_of="question_type",
        )
    ]


def official(root: Path, versions: Sequence[str] = ("v2_", "")) -> list[readers.Asked]:
    """The questions of the official files in a folder, version 2 before version 1, or of one joined pair of files.

    `versions` names what the files of the versions that are wanted begin with, the first found being taken.
    """
    for version in versions:
        names = [
            (f"{version}OpenEnded_mscoco_{part}2014_questions.json", f"{version}mscoco_{part}2014_annotations.json")
            for part in ("train", "val")
        ]
        if all((root / questions).exists() for questions, _ in names):
            items = []
            for (questions, annotations), split in zip(names, ("train", "test"), strict=True):
                for item in readers.vqa(root / questions, root / annotations, root):
                    items.append(readers.Asked(item.path, item.question, item.type, item.answers, item.id, split))
            return items
    return readers.vqa(root / "vqa_questions.json", root / "vqa_annotations.json", root)


def vocabulary_of(split: Split) -> tuple[str, ...]:
    """The words of questions that occur at least `RARE` times, in alphabetical order."""
    counts = Counter(word for own in split.questions for question in own for word in split_words(question.text))
    return tuple(sorted(word for word, n in counts.items() if n >= RARE))


def answers_of(split: Split) -> tuple[str, ...]:
    """The `COMMON` most frequent answers, the most frequent first."""
    counts = Counter(question.answer for own in split.questions for question in own)
    return tuple(answer for answer, _ in counts.most_common(COMMON))


def answerable(split: Split, answers: Sequence[str]) -> Split:
    """The questions a model can learn from: those whose answer it can give; pictures without any keep an empty list."""
    known = set(answers)
    return Split(split.pictures, [[q for q in own if q.answer in known] for own in split.questions])


def tokens_of(model: Answerer, questions: Sequence[Question]) -> Tensor:
    """Tokens (Q, longest), padded."""
    tokenise = functools.cache(model.tokenise)  # many pictures are asked the same
    rows = [tokenise(question.text) for question in questions]
    tokens = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return torch.from_numpy(tokens)


class Blind:
    """The question-only baseline: the answer most often given to the same question in training, whatever the picture.

    A question never asked in training gets the answer most often given to its type, and a type never met the answer
    given most often at all.
    """

    def __init__(self, split: Split) -> None:
        texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        for own in split.questions:
            for question in own:
                for counts in (texts[question.text], types[question.type], every):
                    counts[question.answer] += 1
        self.texts = {text: counts.most_common(1)[0][0] for text, counts in texts.items()}
        self.types = {of_type: counts.most_common(1)[0][0] for of_type, counts in types.items()}
        self.any = every.most_common(1)[0][0]

    def __call__(self, question: Question) -> str:
        """The answer to a question."""
        return self.texts.get(question.text, self.types.get(question.type, self.any))


@torch.inference_mode()
def measure(
    model: Answerer, split: Split, blind: Blind | None = None, seen: np.ndarray | None = None
) -> dict[str, Any]:
    """Accuracy over all questions of a split and over those of each type, beside the baseline's if one is given.

    `seen` is what the encoder made of the pictures, if that is known.
    """
    right: defaultdict[str, list[float]] = defaultdict(list)
    guessed: defaultdict[str, list[float]] = defaultdict(list)
    for rows in split.pictures.rows():
        looked = model.look(
            model.see(split.pictures.load(rows)) if seen is None else torch.from_numpy(seen[rows]).float()
        )
        own = [(i, question) for i, row in enumerate(split.questions[rows]) for question in row]
        for start in range(0, len(own), 600):
            part = own[start : start + 600]
            tokens = tokens_of(model, [question for _, question in part])
            owners = torch.tensor([i for i, _ in part])
            read = model.read(tokens, tokens.ne(PAD).sum(1))
            chosen = model.answer(tuple(p[owners] for p in looked), read).argmax(1).tolist()
            for (_, question), index in zip(part, chosen, strict=True):
                for name in ("all", question.type):
                    right[name].append(question.score(model.answers[index]))
                    guessed[name].append(0.0 if blind is None else question.score(blind(question)))
    types = {}
    for name, marks in right.items():
        types[name] = {"accuracy": float(np.mean(marks)), "questions": len(marks)}
        if blind is not None:
            types[name]["question_only"] = float(np.mean(guessed[name]))
    return {"pictures": len(split.pictures), **types.pop("all"), "types": types}
