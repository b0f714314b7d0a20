"""Train a VQA model: short questions about a picture, answered.

    python -m experiments.train.vqa                                         # vignette-vqa, as "deeper LSTM Q + norm I"
    python -m experiments.train.vqa --model SAN                             # vignette-san
    python -m experiments.train.vqa --model HieCoAtt --coattention parallel     # vignette-hiecoatt-parallel
    python -m experiments.train.vqa --model HieCoAtt --coattention alternating  # vignette-hiecoatt-alternating
    python -m experiments.train.vqa --data vqa --root VQA --encoder-weights mobilenet_v2.pth …
    python -m experiments.train.vqa --data daquar --root DAQUAR --encoder efficientnet_lite0 …
    python -m experiments.train.vqa --data flickr8k-questions --root runs/flickr8k-questions \
        --pictures FLICKR8K/images --encoder efficientnet_lite0 …   # what experiments.train.photo_questions made

`vignette-vqa` starts from the classifier's encoder and trains it on. Its question side first learns alone: every
picture is encoded once, and a step puts each of its questions to all of up to `TOGETHER` pictures of which it was
asked, so that reading a question, the dear part, serves many answers. Then everything is trained together.

All others leave the encoder as it is (that of `vignette-vqa`, or a network for photographs), so every picture is
encoded once. In every step many questions are put to each picture; a question asked of several pictures is read once.
`--resume` goes on after an interruption.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from experiments.lib.asked import (
    HELD,
    Blind,
    Data,
    Split,
    answerable,
    answers_of,
    measure,
    photo_splits,
    tokens_of,
    vignette_split,
    vocabulary_of,
)
from experiments.lib.memory import keep_freed_memory
from experiments.lib.pictures import encoded
from experiments.lib.precision import PRECISION, autocast
from experiments.lib.question_side import FORGET, learn_alone
from experiments.lib.rendered import read_pixels
from experiments.lib.training import (
    Log,
    descend,
    learning_rate,
    load_checkpoint,
    loaded,
    optimiser_of,
    pictures_of,
    publish,
    rows_of,
    save_checkpoint,
)
from mmcam.datasets.vignettes import questions
from models import VQA, WEIGHTS, Answerer, build, load
from models.answerer import PAD, UNKNOWN
from models.efficientnet_lite import PUBLISHED
from models.encoder import Features
from models.photo import SIDES, photo_features

FEW: Final = 8  # places a side of a map that SAN takes one by one; of more it takes the maxima over 2×2
LICENCE: Final = "the photographs are for research only"
NAMES: Final = {"VQA": "vqa", "SAN": "san", "HieCoAtt": "hiecoatt"}


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "VQA",
    coattention: Annotated[str | None, typer.Option(help="Of HieCoAtt: parallel or alternating.")] = None,
    data: Data = "vignettes",
    root: Annotated[Path, typer.Option(help="Rendered vignettes, or the folder of the official files.")] = Path(
        "runs/vignettes"
    ),
    pictures: Annotated[Path | None, typer.Option(help="Folder of the photographs, if another.")] = None,
    encoder: Annotated[
        str, typer.Option(help=f"For photographs: {', '.join((*PUBLISHED, *SIDES))} or torchvision's.")
    ] = ("mobilenet_v2"),
    encoder_weights: Annotated[Path | None, typer.Option(help="State dict of torchvision's network.")] = None,
    publish_as: Annotated[str | None, typer.Option(help="Name, if the model goes into `out`, too.")] = None,
    work: Path = Path("runs"),
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
    product: Annotated[bool, typer.Option(help="Of SAN: answers from the product with the question, too.")] = False,
    width: Annotated[list[str], typer.Option(help="Of a part, if another, as state=256; several times.")] = [],  # noqa: B006
    smoothing: Annotated[float, typer.Option(help="Of the answers' labels.")] = 0.0,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split, `asked` questions a picture and step; measure; write the weights and their card.

    The question side of `vignette-vqa` sees all questions `alone` times before that.
    """
    if model not in NAMES:
        raise typer.BadParameter(f"There is no VQA model {model!r}; there are {', '.join(NAMES)}.")
    kind = "-".join(filter(None, (NAMES[model], coattention, "product" if product else "")))
    name = f"{'vignette' if data == 'vignettes' else data}-{kind}"
    work = work / name.removeprefix("vignette-")
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    torch.manual_seed(seed)
    more: dict[str, Any] = {"dropout": dropout} | ({} if coattention is None else {"coattention": coattention})
    more |= {"product": True} if product else {}
    more |= {part: int(cells) for part, _, cells in (each.partition("=") for each in width)}
    card: dict[str, Any] = {"name": name, "model": model, "task": "visual question answering"}
    if data == "vignettes":
        splits = {split: vignette_split(root, split) for split in ("train", *HELD["vignettes"])}
        answerer = of_vignettes(card, more, start_from)
    else:
        convolutions = convolutions_of(encoder, encoder_weights)
        splits = photo_splits(data, root, pictures, convolutions.preprocess)
        answerer = of_photographs(card, more, splits["train"], convolutions, encoder)
    blind = Blind(splits["train"])
    train = answerable(splits["train"], answerer.answers)
    every = [question for own in train.questions for question in own]
    tokens = tokens_of(answerer, every).numpy().astype(np.int16)
    numbers = np.array([len(own) for own in train.questions])  # of questions; few things, few questions
    firsts = np.concatenate([[0], numbers.cumsum()[:-1]])
    places = {answer: i for i, answer in enumerate(answerer.answers)}
    answers = np.array([places[question.answer] for question in every], np.int16)
    answerer.backbone.to(memory_format=torch.channels_last)
    answerer.train()
    whole = data == "vignettes" and isinstance(answerer, VQA)  # the encoder is trained, too
    if not whole:
        answerer.backbone.eval().requires_grad_(False)
    optimiser = optimiser_of(answerer, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", answerer, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before
    seen: dict[str, np.ndarray] = {}
    if whole:
        if not resume:
            fc7 = torch.from_numpy(np.array(encoded(answerer, train.pictures, work, "fc7"))).float()
            owners = np.repeat(np.arange(len(train.pictures)), numbers)
            assert isinstance(answerer, VQA)
            learn_alone(answerer, fc7, tokens, answers, owners, alone, alone_rate, decay, seed, log)
            save_checkpoint(work / "checkpoint.pt", answerer, optimiser, 0, time.monotonic() - begun)
    else:
        for split in ("train",) if data == "vignettes" else tuple(splits):
            seen[split] = encoded(answerer, splits[split].pictures, work.parent, f"{name.split('-')[0]}-{split}")

    pixels = read_pixels(root, "train") if whole else np.empty(0)
    asking = np.flatnonzero(numbers)  # a picture all of whose answers are rare asks nothing

    def batch_of(step: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((seed, step, 1))
        rows = asking[rows_of(step, len(asking), min(batch, len(asking)), seed)]
        chosen = np.concatenate([firsts[row] + np.resize(rng.permutation(numbers[row]), asked) for row in rows])
        text, of_text = np.unique(tokens[chosen], axis=0, return_inverse=True)
        length = (text != PAD).sum(1)
        text[(rng.random(text.shape) < FORGET) & (text != PAD)] = UNKNOWN
        truths = (text, length, of_text.ravel(), answers[chosen])
        x = pictures_of(pixels, rows, rng) if whole else torch.from_numpy(seen["train"][rows]).float()
        return x, *(torch.from_numpy(truth.astype(np.int64)) for truth in truths)

    for step, (x, text, length, of_text, answer) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        with autocast():
            looked = answerer.look(answerer.see(x) if whole else x)
            looked = tuple(part.repeat_interleave(len(answer) // len(x), 0) for part in looked)
            read = tuple(part[of_text] for part in answerer.read(text, length))
            scores = answerer.answer(looked, read)
        loss = F.cross_entropy(scores.float(), answer, label_smoothing=smoothing)
        descend(answerer, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss, right=(scores.argmax(1) == answer).float().mean())
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", answerer, optimiser, step + 1, time.monotonic() - begun)

    card |= {
        "data": {"set": data, "split": "train", "pictures": len(train.pictures), "questions": len(tokens)}
        | ({} if data == "vignettes" else {"licence": LICENCE}),
        "command": " ".join(["python -m experiments.train.vqa", *sys.argv[1:]]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "questions a picture": asked, "rate": rate, "decay": decay,
            "smoothing": smoothing, "seed": seed,
            **({"question side alone": {"epochs": alone, "rate": alone_rate}} if whole else {}),
            "precision": PRECISION,
        },
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    publish(answerer, card, work)
    rounded = load(name, folder=work)  # the scores are those of the halves that are published
    card["scores"] = {
        split: measure(rounded, splits[split], blind, seen.get(split)) for split in HELD.get(data, ("test",))
    }
    publish(rounded, card, out if data == "vignettes" else work)
    if publish_as:
        publish(rounded, card | {"name": publish_as}, out)
    print(json.dumps(card["scores"], indent=1))


def of_vignettes(card: dict[str, Any], architecture: dict[str, Any], folder: Path) -> Answerer:
    """A model of vignettes with the encoder of another in `folder`, and all of that on its card."""
    card |= {"vocabulary": questions.VOCABULARY, "answers": questions.ANSWERS, "architecture": architecture}
    answerer = built(card)
    if isinstance(answerer, VQA):
        answerer.backbone.load_state_dict(load("vignette-classifier", folder=folder).encoder.state_dict())
        card["initialised_from"] = "the encoder of vignette-classifier"
    else:
        answerer.backbone.load_state_dict(load("vignette-vqa", folder=folder).convolutions.state_dict())
        card["initialised_from"] = "the convolutions of vignette-vqa, which stay as they are"
    return answerer


def convolutions_of(encoder: str, weights: Path | None) -> Features:
    """The encoder of photographs."""
    if weights is None and encoder not in PUBLISHED:
        raise typer.BadParameter(f"{encoder} needs trained weights; pass its state dict with --encoder-weights.")
    return photo_features(encoder, weights)


def of_photographs(
    card: dict[str, Any], architecture: dict[str, Any], train: Split, convolutions: Features, encoder: str
) -> Answerer:
    """A model of photographs with the words and answers of the training questions, and all of that on its card."""
    if card["model"] == "SAN" and convolutions.side <= FEW:
        architecture = {**architecture, "pool": 1}
    texts = {"vocabulary": vocabulary_of(train), "answers": answers_of(train)}
    card |= {**texts, "architecture": architecture, "encoder": encoder}
    answerer = built(card)
    answerer.convolutions.load_state_dict(convolutions.state_dict())
    card["initialised_from"] = f"{encoder} of ImageNet, which stays as it is"
    return answerer


def built(card: dict[str, Any]) -> Answerer:
    """The VQA model of a card, with random weights."""
    model = build(card)
    assert isinstance(model, Answerer)
    return model


if __name__ == "__main__":
    typer.run(main)
