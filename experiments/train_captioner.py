"""Train `vignette-captioner`: one sentence about a picture.

    python -m experiments.train_vqa
    python -m experiments.train_captioner             # --resume goes on after an interruption

The encoder is the VQA model's and stays as it is, so every picture is encoded once; the language side learns on those
vectors. A step reads the five captions of each of its pictures.
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
    optimiser_of,
    plain_pictures,
    publish,
    rows_of,
    save_checkpoint,
)
from mmcam.datasets.vignettes import captions
from mmcam.datasets.vignettes.truth import Truth
from models import WEIGHTS, Captioner, load
from models.captioner import BEAM, END

NAME: Final = "vignette-captioner"


def main(
    data: Path = Path("runs/vignettes"),
    work: Path = Path("runs/captioner"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 9_000,
    batch: int = 64,
    rate: float = 3e-3,
    decay: float = 0.02,
    state: int = 512,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split's pictures, `batch` a step with their five captions each; measure; write the weights."""
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pixels, records = read(data, "train")

    torch.manual_seed(seed)
    model = Captioner(captions.VOCABULARY, state=state)
    vqa = load("vignette-vqa", folder=start_from)
    model.encoder.load_state_dict(vqa.encoder.state_dict())
    model.to(memory_format=torch.channels_last).train()
    tokens = captions_of(model, records)
    fc7 = encoded(model.encoder, pixels)

    language = nn.ModuleList([part for name, part in model.named_children() if name != "encoder"])
    optimiser = optimiser_of(language, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", model, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before
    for step in track(range(start, steps), "training"):
        rows = rows_of(step, len(fc7), batch, seed)
        loss = surprise(model, fc7[rows], torch.from_numpy(tokens[rows]))
        descend(language, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", model, optimiser, step + 1, time.monotonic() - begun)

    card: dict[str, Any] = {
        "name": NAME,
        "task": "captioning",
        "data": {"pictures": len(pixels), "captions": int(tokens.shape[0] * tokens.shape[1]), "split": "train",
                 "seeds": [records[0]["truth"]["seed"], len(records)]},
        "initialised_from": "the encoder of vignette-vqa, which stays as it is",
        "command": " ".join(["python -m experiments.train_captioner", *sys.argv[1:]]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "rate": rate, "decay": decay, "seed": seed,
            "precision": "bfloat16 autocast",
        },
        "seconds": round(time.monotonic() - begun),
        "vocabulary": captions.VOCABULARY,
        "architecture": {"state": state},
    }  # fmt: skip
    publish(model, card, work)
    rounded = load(NAME, folder=work)  # the scores are those of the halves that are published
    card["beam"] = BEAM
    splits = {split: read(data, split) for split in ("test", "heldout")}
    for key, beam in (("scores", BEAM), ("scores of the likeliest word each time", 1)):
        card[key] = {split: measure(rounded, *held, beam) for split, held in splits.items()}
    publish(rounded, card, out)
    print(json.dumps(card["scores"], indent=1))


def surprise(model: Captioner, fc7: Tensor, tokens: Tensor) -> Tensor:
    """Mean -log p of every word and END of the captions (N, captions, L) of encoded pictures (N, fc7)."""
    text = tokens.flatten(0, 1).long()
    lengths = text.ne(END).sum(1)
    total = torch.zeros(())
    for rows in lengths.argsort().chunk(4):  # captions of about one length together: little is computed in vain
        part = text[rows, : int(lengths[rows].max()) + 1]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.decode(fc7[rows // tokens.shape[1]], part[:, :-1])
        counts = torch.arange(part.shape[1]) <= lengths[rows, None]  # the words and one END
        total = total + F.cross_entropy(logits.float()[counts], part[counts], reduction="sum")
    return total / (lengths + 1).sum()


def captions_of(model: Captioner, records: list[dict[str, Any]]) -> np.ndarray:
    """Tokens (pictures, captions, longest + 1) of a split, filled up with END."""
    rows = [[model.encode(caption) for caption in record["captions"]] for record in records]
    longest = max(len(caption) for row in rows for caption in row)
    return np.array([[caption + [END] * (longest + 1 - len(caption)) for caption in row] for row in rows], np.int16)


def measure(model: Captioner, pixels: np.ndarray, records: list[dict[str, Any]], beam: int = BEAM) -> dict[str, Any]:
    """Generated captions against the truth, word by word, and against the five references of each picture."""
    from pycocoevalcap.cider.cider import Cider

    said: list[str] = []
    for _, pictures in in_batches(pixels):
        said += [model.spell(tokens) for tokens in model.generate(plain_pictures(pictures), beam)]
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
