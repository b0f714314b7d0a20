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
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from experiments.render import in_batches, read
from experiments.training import (
    Log,
    descend,
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

NAME = "vignette-vqa"
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
    pixels, records = read(data, "train")

    torch.manual_seed(seed)
    model = VQA(questions.VOCABULARY, questions.ANSWERS, dropout=dropout)
    classifier = load("vignette-classifier", folder=start_from)
    model.encoder.load_state_dict(classifier.encoder.state_dict())
    model.to(memory_format=torch.channels_last).train()
    tokens, lengths, answers = asked_of(model, records)
    optimiser = optimiser_of(model, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", model, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before

    def batch_of(step: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((seed, step, 1))
        rows = rows_of(step, len(pixels), batch, seed)
        chosen = np.stack([rng.permutation(tokens.shape[1])[:asked] for _ in rows])
        text, of_text = np.unique(
            tokens[rows[:, None], chosen].reshape(-1, tokens.shape[2]), axis=0, return_inverse=True
        )
        length = (text != PAD).sum(1)
        text[(rng.random(text.shape) < FORGET) & (text != PAD)] = UNKNOWN
        truths = (text, length, of_text.ravel(), answers[rows[:, None], chosen].ravel())
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
        "data": {"pictures": len(pixels), "questions": int(lengths.size), "split": "train",
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


def asked_of(model: VQA, records: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (pictures, questions, longest) padded, lengths and answers (pictures, questions) of a split."""
    number = {answer: i for i, answer in enumerate(model.answers)}
    tokenise = functools.cache(model.tokenise)  # many pictures are asked the same
    rows = [[(tokenise(text), number[answer]) for text, _, answer in record["questions"]] for record in records]
    lengths = np.array([[len(text) for text, _ in row] for row in rows], np.int16)
    tokens = np.full((*lengths.shape, lengths.max()), PAD, np.int16)
    for i, row in enumerate(rows):
        for j, (text, _) in enumerate(row):
            tokens[i, j, : len(text)] = text
    return tokens, lengths, np.array([[answer for _, answer in row] for row in rows], np.int16)


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
    """Accuracy over all questions of a split and over those of each type, beside the baseline's."""
    right: defaultdict[str, list[bool]] = defaultdict(list)
    guessed: defaultdict[str, list[bool]] = defaultdict(list)
    for rows, pictures in in_batches(pixels):
        fc7 = model.encoder(plain_pictures(pictures))
        tokens, lengths, answers = (torch.from_numpy(a.astype(np.int64)) for a in asked_of(model, records[rows]))
        scores = model.score(
            fc7.repeat_interleave(tokens.shape[1], 0), model.read(tokens.flatten(0, 1), lengths.flatten())
        )
        correct = iter((scores.argmax(1) == answers.flatten()).tolist())
        for text, of_type, answer in (question for record in records[rows] for question in record["questions"]):
            right[of_type].append(next(correct))
            guessed[of_type].append(blind is not None and blind(text, of_type) == answer)
    each = {
        of_type: {
            "accuracy": float(np.mean(marks)),
            "question_only": float(np.mean(guessed[of_type])),
            "questions": len(marks),
        }
        for of_type, marks in sorted(right.items())
    }
    overall = float(np.mean(sum(right.values(), [])))
    baseline = float(np.mean(sum(guessed.values(), [])))
    if blind is None:
        return {"pictures": len(records), "accuracy": overall}
    return {"pictures": len(records), "accuracy": overall, "question_only": baseline, "types": each}


if __name__ == "__main__":
    typer.run(main)
