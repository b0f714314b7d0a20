"""Train `vignette-captioner`: one sentence about a picture.

    python -m experiments.train_vqa
    python -m experiments.train_captioner             # --resume goes on after an interruption

The encoder starts as the VQA model's. The language side first learns alone, every picture encoded once; then everything
is trained on together. A step reads the five captions of each of its pictures.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
import typer
from nltk.translate.bleu_score import corpus_bleu
from rich.progress import track
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
from mmcam.datasets.vignettes import captions
from mmcam.datasets.vignettes.truth import Truth
from models import WEIGHTS, Captioner, load
from models.captioner import END

NAME: Final = "vignette-captioner"


def main(
    data: Path = Path("runs/vignettes"),
    work: Path = Path("runs/captioner"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 400,
    batch: int = 32,
    rate: float = 2e-4,
    alone: int = 7_000,
    alone_rate: float = 3e-3,
    decay: float = 0.02,
    dropout: float = 0.2,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train `alone` steps without the encoder and `steps` with it; measure; write the weights and their card."""
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pixels, records = read(data, "train")

    torch.manual_seed(seed)
    model = Captioner(captions.VOCABULARY, dropout=dropout)
    vqa = load("vignette-vqa", folder=start_from)
    model.encoder.load_state_dict(vqa.encoder.state_dict())
    model.to(memory_format=torch.channels_last).train()
    tokens = captions_of(model, records)
    optimiser = optimiser_of(model, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", model, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before

    if not resume:
        learn_alone(model, encoded(model.encoder, pixels), tokens, alone, 2 * batch, alone_rate, decay, seed, log)
        save_checkpoint(work / "checkpoint.pt", model, optimiser, 0, time.monotonic() - begun)

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        rows = rows_of(step, len(pixels), batch, seed)
        return pictures_of(pixels, rows, np.random.default_rng((seed, step, 1))), torch.from_numpy(tokens[rows])

    for step, (x, text) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        with torch.autocast("cpu", torch.bfloat16):
            fc7 = model.encoder(x)
        loss = surprise(model, fc7, text)
        descend(model, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", model, optimiser, step + 1, time.monotonic() - begun)

    card: dict[str, Any] = {
        "name": NAME,
        "task": "captioning",
        "data": {"pictures": len(pixels), "captions": int(tokens.shape[0] * tokens.shape[1]), "split": "train",
                 "seeds": [records[0]["truth"]["seed"], len(records)]},
        "initialised_from": "the encoder of vignette-vqa",
        "command": "python -m experiments.train_captioner " + " ".join(sys.argv[1:]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "rate": rate, "decay": decay, "seed": seed,
            "language side alone": {"steps": alone, "rate": alone_rate},
            "precision": "bfloat16 autocast",
        },
        "seconds": round(time.monotonic() - begun),
        "vocabulary": captions.VOCABULARY,
        "architecture": {"dropout": dropout},
    }  # fmt: skip
    publish(model, card, work)
    rounded = load(NAME, folder=work)  # the scores are those of the halves that are published
    card["scores"] = {split: measure(rounded, *read(data, split)) for split in ("test", "heldout")}
    publish(rounded, card, out)
    print(json.dumps(card["scores"], indent=1))


def learn_alone(
    model: Captioner,
    fc7: Tensor,
    tokens: np.ndarray,
    steps: int,
    batch: int,
    rate: float,
    decay: float,
    seed: int,
    log: Log,
) -> None:
    """Train all but the encoder on the vectors `fc7` of the pictures."""
    rest = nn.ModuleList([part for name, part in model.named_children() if name != "encoder"])
    optimiser = optimiser_of(rest, decay)
    for step in track(range(steps), "language side"):
        torch.manual_seed(seed + step)
        rows = rows_of(step, len(fc7), batch, seed + 1)
        loss = surprise(model, fc7[rows], torch.from_numpy(tokens[rows]))
        descend(rest, optimiser, loss, learning_rate(step, steps, rate))
        log(step, alone=loss)


def surprise(model: Captioner, fc7: Tensor, tokens: Tensor) -> Tensor:
    """Mean -log p of every word and END of the captions (N, captions, L) of encoded pictures (N, fc7)."""
    text = tokens.flatten(0, 1).long()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.decode(fc7.repeat_interleave(tokens.shape[1], 0), text[:, :-1])
    counts = torch.arange(text.shape[1]) <= text.ne(END).sum(1, keepdim=True)  # the words and one END
    return F.cross_entropy(logits.float()[counts], text[counts])


def captions_of(model: Captioner, records: list[dict[str, Any]]) -> np.ndarray:
    """Tokens (pictures, captions, longest + 1) of a split, filled up with END."""
    rows = [[model.encode(caption) for caption in record["captions"]] for record in records]
    longest = max(len(caption) for row in rows for caption in row)
    return np.array([[caption + [END] * (longest + 1 - len(caption)) for caption in row] for row in rows], np.int16)


def measure(model: Captioner, pixels: np.ndarray, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Greedy captions against the truth, word by word, and against the five references of each picture."""
    from pycocoevalcap.cider.cider import Cider

    said: list[str] = []
    for _, pictures in in_batches(pixels):
        said += [model.spell(tokens) for tokens in model.generate(plain_pictures(pictures))]
    right: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    whole = []
    for caption, record in zip(said, records, strict=True):
        words = captions.check(caption, Truth.from_json(record["truth"]))
        checked.update(word.category for word in words)
        right.update(word.category for word in words if word.correct)
        whole.append(all(word.correct for word in words))
    written = [[model.spell(model.encode(text)) for text in record["captions"]] for record in records]
    references, hypotheses = [[text.split() for text in texts] for texts in written], [text.split() for text in said]
    bleu = corpus_bleu(references, hypotheses, weights=[(1 / n,) * n for n in (1, 2, 3, 4)])
    cider, _ = Cider().compute_score(dict(enumerate(written)), {i: [text] for i, text in enumerate(said)})
    return {
        "pictures": len(records),
        "content_words_correct": right.total() / checked.total(),
        "captions_without_error": float(np.mean(whole)),
        **{f"BLEU-{n}": float(score) for n, score in enumerate(bleu, start=1)},
        "CIDEr": float(cider),
        "categories": {name: {"correct": right[name] / n, "words": n} for name, n in sorted(checked.items())},
    }


if __name__ == "__main__":
    typer.run(main)
