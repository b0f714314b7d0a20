"""Train a captioner: one sentence about a picture.

    python -m experiments.train.captioner                                  # vignette-captioner, as neuraltalk2
    python -m experiments.train.captioner --model ShowAttendTell           # vignette-show-attend-tell
    python -m experiments.train.captioner --model TransformerCaptioner     # vignette-transformer-captioner
    python -m experiments.train.captioner --data flickr8k --root FLICKR8K --encoder-weights mobilenet_v2.pth
    python -m experiments.train.captioner --data karpathy --root COCO/dataset_coco.json --pictures COCO …

The encoder stays as it is, so every picture is encoded once; the language side learns on what it gave. A step reads the
five captions of each of its pictures. `--resume` goes on after an interruption.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from experiments.lib.caption_scores import BLEU, bleu, bleu_counts, cider
from experiments.lib.captioned import (
    CAPTIONS,
    Data,
    Split,
    photo_splits,
    vignette_split,
    vocabulary_of,
)
from experiments.lib.memory import keep_freed_memory
from experiments.lib.pictures import encoded
from experiments.lib.precision import HALVES, PRECISION, autocast
from experiments.lib.tables import keep
from experiments.lib.training import (
    Log,
    descend,
    learning_rate,
    load_checkpoint,
    loaded,
    optimiser_of,
    publish,
    rows_of,
    save_checkpoint,
)
from mmcam.datasets.vignettes import captions
from mmcam.datasets.vignettes.truth import Truth
from models import WEIGHTS, Captioner, Speaker, build, load
from models.photo import SIDES, photo_features
from models.speaker import BEAM, END, UNKNOWN

NAMES: Final = {
    "Captioner": "captioner",
    "ShowAttendTell": "show-attend-tell",
    "TransformerCaptioner": "transformer-captioner",
}
LONGEST_READ: Final = 24  # words of a caption that is learned from
SEARCHES: Final = {"scores": BEAM, "scores of the likeliest word each time": 1}
HELD: Final = {"vignettes": ("test", "heldout")}  # what is scored in the end; of photographs the test split


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "Captioner",
    data: Data = "vignettes",
    root: Annotated[Path, typer.Option(help="Rendered vignettes, Flickr8k's folder, or Karpathy's file.")] = Path(
        "runs/vignettes"
    ),
    pictures: Annotated[Path | None, typer.Option(help="Pictures of Karpathy's file; default beside it.")] = None,
    encoder: Annotated[str, typer.Option(help=f"torchvision network for photographs, e.g. {', '.join(SIDES)}.")] = (
        "mobilenet_v2"
    ),
    encoder_weights: Annotated[Path | None, typer.Option(help="Its state dict; needed for photographs.")] = None,
    work: Path = Path("runs"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 9_000,
    batch: int = 64,
    rate: float = 3e-3,
    decay: float = 0.02,
    dropout: Annotated[float, typer.Option(help="On words and before the output, while training.")] = 0.0,
    width: Annotated[int | None, typer.Option(help="Of the language side; default the model's own.")] = None,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split, `batch` pictures a step with their five captions each; measure; write the weights."""
    if model not in NAMES:
        raise typer.BadParameter(f"There is no captioner {model!r}; there are {', '.join(NAMES)}.")
    name = f"{data if data == 'flickr8k' else root.stem if data == 'karpathy' else 'vignette'}-{NAMES[model]}"
    work = work / name.removeprefix("vignette-")
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.manual_seed(seed)
    more: dict[str, Any] = {"dropout": dropout}
    if width is not None:
        more["width" if model == "TransformerCaptioner" else "state"] = width
    card: dict[str, Any] = {"name": name, "model": model, "task": "captioning"}
    if data == "vignettes":
        splits = {split: vignette_split(root, split) for split in ("train", *HELD["vignettes"])}
        card |= {"vocabulary": captions.VOCABULARY, "architecture": more}
        speaker = built(card)
        source = load("vignette-vqa", folder=start_from).encoder
        same = source if isinstance(speaker, Captioner) else source.features
        speaker.backbone.load_state_dict(same.state_dict())
        card["initialised_from"] = "the encoder of vignette-vqa, which stays as it is"
    else:
        if encoder_weights is None:
            raise typer.BadParameter("Photographs need a trained encoder; pass its state dict with --encoder-weights.")
        convolutions = photo_features(encoder, encoder_weights)
        splits = photo_splits(data, root, pictures, convolutions.preprocess)
        card |= {"vocabulary": vocabulary_of(splits["train"].captions), "architecture": more, "encoder": encoder}
        speaker = built(card)
        speaker.convolutions.load_state_dict(convolutions.state_dict())
        card["initialised_from"] = f"{encoder_weights.name}, which stays as it is"
    speaker.backbone.to(memory_format=torch.channels_last)
    train = splits["train"]
    tokens = captions_of(speaker, train)
    seen = encoded(speaker, train.pictures, work.parent, f"{name.split('-')[0]}-train")

    speaker.train()
    speaker.backbone.eval().requires_grad_(False)
    optimiser = optimiser_of(speaker, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", speaker, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        rows = rows_of(step, len(seen), batch, seed)
        return torch.from_numpy(seen[rows]).float(), torch.from_numpy(tokens[rows])

    for step, (x, text) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        loss = surprise(speaker, x, text)
        descend(speaker, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", speaker, optimiser, step + 1, time.monotonic() - begun)

    card |= {
        "data": {"set": data, "split": "train", "pictures": len(train.pictures), "captions": CAPTIONS * len(tokens)},
        "command": " ".join(["python -m experiments.train.captioner", *sys.argv[1:]]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "rate": rate, "decay": decay, "dropout": dropout, "seed": seed,
            "precision": PRECISION,
        },
        "seconds": round(time.monotonic() - begun),
        "beam": BEAM,
    }  # fmt: skip
    publish(speaker, card, work)
    rounded = load(name, folder=work)  # the scores are those of the halves that are published
    held = {split: splits[split] for split in HELD.get(data, ("test",))}
    for key, beam in SEARCHES.items():
        said = {split: speak(rounded, pictures, beam) for split, pictures in held.items()}
        card[key] = {split: measure(said[split], pictures) for split, pictures in held.items()}
        whole = {split: {"said": said[split], "references": held[split].captions} for split in held}
        keep(work / f"said-{beam}.json", json.dumps(whole))
    publish(rounded, card, out if data == "vignettes" else work)
    print(json.dumps(card["scores"], indent=1))


def built(card: dict[str, Any]) -> Speaker:
    """The captioner of a card, with random weights."""
    model = build(card)
    assert isinstance(model, Speaker)
    return model


def surprise(model: Speaker, seen: Tensor, tokens: Tensor) -> Tensor:
    """Mean -log p of every word and END of the captions (N, captions, L) of encoded pictures (N, …)."""
    text = tokens.flatten(0, 1).long()
    lengths = text.ne(END).sum(1)
    total = torch.zeros(())
    with autocast():
        looked = model.look(seen.bfloat16() if HALVES else seen)  # halves here, or every step would convert them anew
    for rows in lengths.argsort().chunk(4):  # captions of about one length together: little is computed in vain
        part = text[rows, : int(lengths[rows].max()) + 1]
        owners = rows // tokens.shape[1]
        with autocast():
            logits = model.decode(tuple(p[owners] for p in looked), part[:, :-1])
        counts = torch.arange(part.shape[1]) <= lengths[rows, None]  # the words and one END
        total = total + F.cross_entropy(logits.float()[counts], part[counts], reduction="sum")
    return total / (lengths + 1).sum()


def captions_of(model: Speaker, split: Split) -> np.ndarray:
    """Tokens (pictures, captions, longest + 1) of a split, filled up with END; a rare word becomes UNKNOWN."""
    known = set(model.vocabulary)
    rows = [
        [model.encode(" ".join(word if word in known else UNKNOWN for word in words)) for words in own]
        for own in split.captions
    ]
    longest = min(max(len(caption) for row in rows for caption in row), LONGEST_READ)
    table = np.full((len(rows), CAPTIONS, longest + 1), END, np.int16)
    for i, row in enumerate(rows):
        for j, caption in enumerate(row):
            table[i, j, : min(len(caption), longest)] = caption[:longest]
    return table


def speak(model: Speaker, split: Split, beam: int = BEAM) -> list[str]:
    """A caption of every picture."""
    said: list[str] = []
    with torch.no_grad():
        for _, x in split.pictures.batches():
            said += [model.spell(tokens) for tokens in model.generate(x, beam)]
    return said


def measure(said: Sequence[str], split: Split) -> dict[str, Any]:
    """Captions against the five references of each picture and, where it is known, against what is true."""
    scores = {"pictures": len(split.pictures), **language_scores(said, split.captions)}
    return scores if split.records is None else {**scores, **truth_scores(said, split.records)}


def language_scores(said: Sequence[str], references: Sequence[Sequence[Sequence[str]]]) -> dict[str, float]:
    """COCO's BLEU-1..4 of the whole set, and CIDEr-D, of captions of pictures with their references."""
    words = [text.split() for text in said]
    found = dict(zip(BLEU, bleu(bleu_counts(words, references)), strict=True))
    return {**found, "CIDEr": float(cider(words, references).mean())}


def truth_scores(said: Sequence[str], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Which words of captions are true of the vignettes they were generated for."""
    right: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    whole = []
    for caption, record in zip(said, records, strict=True):
        words = captions.check(caption, Truth.from_json(record["truth"]))
        checked.update(word.category for word in words)
        right.update(word.category for word in words if word.correct)
        whole.append(all(word.correct for word in words))
    return {
        "content_words_correct": right.total()
        / max(1, checked.total()),  # a captioner may say nothing that claims anything
        "captions_without_error": float(np.mean(whole)),
        "categories": {name: {"correct": right[name] / n, "words": n} for name, n in sorted(checked.items())},
    }


if __name__ == "__main__":
    typer.run(main)
