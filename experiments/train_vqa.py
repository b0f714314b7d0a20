"""Train `vignette-vqa`: short questions about a picture, answered.

    python -m experiments.train_classifier
    python -m experiments.train_vqa                   # --resume goes on after an interruption

The encoder starts as the classifier's. The question side first learns alone: every picture is encoded once, and a step
puts each of its questions to all of up to `TOGETHER` pictures of which it was asked, so that reading a question, the
dear part, serves many answers. Then everything is trained on together: a step encodes each picture once and puts many
questions to it; a question asked of several pictures is read once.
"""

import functools
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from experiments.render import in_batches, read
from experiments.training import (
    Log,
    descend,
    encoded,
    keep_freed_memory,
    learning_rate,
    load_checkpoint,
    loaded,
    optimiser_of,
    pictures_of,
    plain_pictures,
    publish,
    rows_of,
    save_checkpoint,
)
from mmcam.datasets.vignettes import questions
from models import VQA, WEIGHTS, load
from models.vqa import PAD, UNKNOWN

NAME: Final = "vignette-vqa"
TOGETHER = 24  # pictures a question is put to at once while the question side learns alone
FORGET = 0.01  # share of the words replaced by UNKNOWN, so that an unknown word does no harm


def main(
    data: Path = Path("runs/vignettes"),
    work: Path = Path("runs/vqa"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 1_200,
    batch: int = 32,
    asked: int = 12,
    rate: float = 4e-4,
    alone: int = 5,
    alone_rate: float = 2e-3,
    decay: float = 0.02,
    dropout: float = 0.1,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split, `asked` questions a picture and step; measure; write the weights and their card.

    Before that, the question side sees all questions `alone` times.
    """
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pixels, records = read(data, "train")

    torch.manual_seed(seed)
    model = VQA(questions.VOCABULARY, questions.ANSWERS, dropout=dropout)
    classifier = load("vignette-classifier", folder=start_from)
    model.encoder.load_state_dict(classifier.encoder.state_dict())
    model.to(memory_format=torch.channels_last).train()
    tokens, answers = asked_of(model, [question for record in records for question in record["questions"]])
    numbers = np.array([len(record["questions"]) for record in records])  # of questions; few things, few questions
    firsts = np.concatenate([[0], numbers.cumsum()[:-1]])
    optimiser = optimiser_of(model, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", model, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before
    if not resume:
        owners = np.repeat(np.arange(len(records)), numbers)
        learn_alone(model, encoded(model.encoder, pixels), tokens, answers, owners, alone, alone_rate, decay, seed, log)
        save_checkpoint(work / "checkpoint.pt", model, optimiser, 0, time.monotonic() - begun)

    def batch_of(step: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((seed, step, 1))
        rows = rows_of(step, len(pixels), batch, seed)
        chosen = np.concatenate([firsts[row] + np.resize(rng.permutation(numbers[row]), asked) for row in rows])
        text, of_text = np.unique(tokens[chosen], axis=0, return_inverse=True)
        length = (text != PAD).sum(1)
        text[(rng.random(text.shape) < FORGET) & (text != PAD)] = UNKNOWN
        truths = (text, length, of_text.ravel(), answers[chosen])
        return pictures_of(pixels, rows, rng), *(torch.from_numpy(truth.astype(np.int64)) for truth in truths)

    for step, (x, text, length, of_text, answer) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        with torch.autocast("cpu", torch.bfloat16):
            pictures = model.look(model.encoder(x)).repeat_interleave(len(answer) // len(x), 0)
            scores = model.answer(pictures, model.read(text, length)[of_text])
        loss = F.cross_entropy(scores.float(), answer)
        descend(model, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss, right=(scores.argmax(1) == answer).float().mean())
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", model, optimiser, step + 1, time.monotonic() - begun)

    card: dict[str, Any] = {
        "name": NAME,
        "task": "visual question answering",
        "data": {"pictures": len(pixels), "questions": len(tokens), "split": "train",
                 "seeds": [records[0]["truth"]["seed"], len(records)]},
        "initialised_from": "the encoder of vignette-classifier",
        "command": "python -m experiments.train_vqa " + " ".join(sys.argv[1:]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "questions a picture": asked, "rate": rate, "decay": decay,
            "seed": seed, "question side alone": {"epochs": alone, "rate": alone_rate},
            "precision": "bfloat16 autocast",
        },
        "seconds": round(time.monotonic() - begun),
        "vocabulary": questions.VOCABULARY,
        "answers": questions.ANSWERS,
        "architecture": {"dropout": dropout},
    }  # fmt: skip
    publish(model, card, work)
    rounded = load(NAME, folder=work)  # the scores are those of the halves that are published
    blind = Blind(records)
    card["scores"] = {split: measure(rounded, *read(data, split), blind) for split in ("test", "heldout")}
    publish(rounded, card, out)
    print(json.dumps(card["scores"], indent=1))


def learn_alone(
    model: VQA,
    fc7: Tensor,
    tokens: np.ndarray,
    answers: np.ndarray,
    owners: np.ndarray,
    epochs: int,
    rate: float,
    decay: float,
    seed: int,
    log: Log,
) -> None:
    """Train all but the encoder on the vectors `fc7` of the pictures; question q was asked of picture `owners[q]`."""
    rest = nn.ModuleList([part for name, part in model.named_children() if name != "encoder"])
    optimiser = optimiser_of(rest, decay)
    texts, of_text = np.unique(tokens, axis=0, return_inverse=True)
    of_text, lengths = of_text.ravel(), (texts != PAD).sum(1)
    plans = []
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch, 2))
        shuffled = rng.permutation(len(of_text))
        order = shuffled[of_text[shuffled].argsort(kind="stable")]  # by text, in random order within
        first = np.r_[True, np.diff(of_text[order]) > 0]
        place = np.arange(len(order)) - np.flatnonzero(first)[first.cumsum() - 1]
        groups = np.split(order, np.flatnonzero(place % TOGETHER == 0)[1:])
        shuffle = rng.permutation(len(groups))
        plans += [[groups[i] for i in part] for part in np.split(shuffle, range(256, len(groups), 256))]

    def batch_of(step: int) -> tuple[Tensor, ...]:
        groups = plans[step]
        chosen = np.concatenate(groups)
        heads = of_text[[group[0] for group in groups]]
        of_group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        rng, text = np.random.default_rng((seed, step, 3)), texts[heads].copy()
        text[(rng.random(text.shape) < FORGET) & (text != PAD)] = UNKNOWN
        tables = (text, lengths[heads], of_group, answers[chosen], owners[chosen])
        return tuple(torch.from_numpy(table.astype(np.int64)) for table in tables)

    for step, (text, length, of_group, answer, owner) in loaded(batch_of, 0, len(plans)):
        torch.manual_seed(seed + step)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model.answer(model.look(fc7[owner]), model.read(text, length)[of_group])
        loss = F.cross_entropy(scores.float(), answer)
        descend(rest, optimiser, loss, learning_rate(step, len(plans), rate))
        log(step, alone=loss, right=(scores.argmax(1) == answer).float().mean())


def asked_of(model: VQA, asked: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (Q, longest), padded, and answers (Q,) of questions (text, type, answer)."""
    number = {answer: i for i, answer in enumerate(model.answers)}
    tokenise = functools.cache(model.tokenise)  # many pictures are asked the same
    rows = [tokenise(text) for text, _, _ in asked]
    tokens = np.full((len(rows), max(map(len, rows))), PAD, np.int16)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return tokens, np.array([number[answer] for _, _, answer in asked], np.int16)


class Blind:
    """The question-only baseline: the answer most often given to the same question in training, whatever the picture.

    A question never asked in training gets the answer most often given to its type.
    """

    def __init__(self, records: list[dict[str, Any]]) -> None:
        texts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in records:
            for text, of_type, answer in record["questions"]:
                texts[text][answer] += 1
                types[of_type][answer] += 1
        self.texts = {text: counts.most_common(1)[0][0] for text, counts in texts.items()}
        self.types = {of_type: counts.most_common(1)[0][0] for of_type, counts in types.items()}

    def __call__(self, text: str, of_type: str) -> str:
        """The answer to a question of a type."""
        return self.texts.get(text, self.types[of_type])


@torch.inference_mode()
def measure(
    model: VQA, pixels: np.ndarray, records: list[dict[str, Any]], blind: Blind | None = None
) -> dict[str, Any]:
    """Accuracy over all questions of a split and over those of each type, beside the baseline's if one is given."""
    right: defaultdict[str, list[bool]] = defaultdict(list)
    guessed: defaultdict[str, list[bool]] = defaultdict(list)
    for rows, pictures in in_batches(pixels):
        asked = [question for record in records[rows] for question in record["questions"]]
        tokens, answers = (torch.from_numpy(table.astype(np.int64)) for table in asked_of(model, asked))
        numbers = torch.tensor([len(record["questions"]) for record in records[rows]])
        seen = model.look(model.encoder(plain_pictures(pictures))).repeat_interleave(numbers, 0)
        scores = model.answer(seen, model.read(tokens, tokens.ne(PAD).sum(1)))
        for (text, of_type, answer), correct in zip(asked, scores.argmax(1).eq(answers).tolist(), strict=True):
            for name in ("all", of_type):
                right[name].append(correct)
                guessed[name].append(blind is not None and blind(text, of_type) == answer)
    types = {}
    for name, marks in right.items():
        types[name] = {"accuracy": float(np.mean(marks)), "questions": len(marks)}
        if blind is not None:
            types[name]["question_only"] = float(np.mean(guessed[name]))
    return {"pictures": len(records), **types.pop("all"), "types": types}


if __name__ == "__main__":
    typer.run(main)
