"""Train `vignette-vqa`: short questions about a picture, answered.

    python -m experiments.train_classifier
    python -m experiments.train_vqa                   # --resume goes on after an interruption

The encoder starts as the classifier's and is trained on. A step encodes each picture once and puts many questions to
it; a question asked of several pictures is read once.
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
from torch import Tensor

from experiments.render import in_batches, read
from experiments.training import (
    Log,
    descend,
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
FORGET = 0.01  # share of the words replaced by UNKNOWN, so that an unknown word does no harm


def main(
    data: Path = Path("runs/vignettes"),
    work: Path = Path("runs/vqa"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 4_000,
    batch: int = 64,
    asked: int = 12,
    rate: float = 1e-3,
    decay: float = 0.02,
    dropout: float = 0.1,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split, `asked` questions a picture and step; measure; write the weights and their card."""
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
            pictures = model.encoder(x).repeat_interleave(len(answer) // len(x), 0)
            scores = model.score(pictures, model.read(text, length)[of_text])
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
            "steps": steps, "batch": batch, "questions a picture": asked, "rate": rate, "decay": decay, "seed": seed,
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
        fc7 = model.encoder(plain_pictures(pictures)).repeat_interleave(numbers, 0)
        scores = model.score(fc7, model.read(tokens, tokens.ne(PAD).sum(1)))
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
