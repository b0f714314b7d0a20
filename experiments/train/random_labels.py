"""Do the maps depend on what the labels teach? Label randomisation (Adebayo et al., arXiv 1810.03292, section 4).

Three classifiers of the bundled one's architecture learn the same pictures until they know them by heart: one their
true labels, one the same labels permuted between the pictures, and one the true labels from another start. Then the
maps of the true class are compared on the pictures they learned. A method whose maps of the second are as like those of
the first as the third's shows the picture rather than what was learned of it.

A vignette has several labels, and most of any permutation of them would be right by chance. So the pictures are those
that show things of one kind only, that kind is the label, and a softmax over the kinds takes the sigmoids' place.

    nice python -m experiments.train.random_labels       # some ten minutes of one core; goes on where it was stopped
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import safetensors.torch
import torch
import typer
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from experiments.lib.label_comparison import examine, table
from experiments.lib.memory import keep_freed_memory
from experiments.lib.stamp import stamp
from experiments.lib.tables import keep
from experiments.lib.training import Log, descend, learning_rate, optimiser_of, rows_of
from mmcam.datasets import vignettes
from mmcam.evaluation.localisation import share
from models import Classifier
from models.encoder import PREPROCESS

ENOUGH: Final = 0.99
"""Of the labels of its training pictures, which a model has to get right."""
UNSEEN: Final = 200
"""Validation pictures of one kind, on which the models are tried."""
BATCH, RATE, DECAY = 16, 1e-3, 0.02


@dataclass(frozen=True)
class Lesson:
    """Whether the labels are permuted, and the seed of the weights and of the order of the pictures."""

    permuted: bool
    seed: int


def main(
    pictures: Annotated[int, typer.Option(help="That are learned.")] = 400,
    shown: Annotated[int, typer.Option(help="The first so many of them are explained.")] = 50,
    epochs: Annotated[int, typer.Option(help="At most; a model stops when it knows its pictures.")] = 40,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for weights and records.")] = Path("runs/random_labels"),
) -> None:
    """Train, compare, and write sanity-labels.json and .md."""
    if not 2 <= shown <= pictures:
        raise typer.BadParameter(f"--shown {shown} has to lie between 2 and --pictures {pictures}.")
    folder = work / f"{pictures}-{epochs}-{seed}"
    x, labels = learned(pictures)
    shuffled = labels[np.random.default_rng(seed).permutation(pictures)]
    lessons = {"true": Lesson(False, seed), "random": Lesson(True, seed), "again": Lesson(False, seed + 1)}
    nets, cards = {}, {}
    for name, lesson in lessons.items():
        nets[name], cards[name] = taught(folder / name, x, shuffled if lesson.permuted else labels, lesson.seed, epochs)
    examine(nets, x[:shown], labels[:shown], folder)
    command = f"python -m experiments.train.random_labels --pictures {pictures} --shown {shown} --epochs {epochs}"
    command += f" --seed {seed}"
    alike = float((shuffled == labels).mean())
    stamped = stamp(command, pictures=shown, seed=seed)
    table(folder, shown, cards, f"{alike:.0%} of the permuted labels are right by chance", stamped, out)


def learned(pictures: int, split: str = "train") -> tuple[Tensor, np.ndarray]:
    """The first vignettes of a split that show one kind, (N,3,224,224), and the places of the kinds in `KINDS`."""
    seeds, labels = [], []
    for i in count():
        seed = vignettes.seed(split, i)
        kinds = {thing.kind for thing in vignettes.describe(seed).things}
        if len(kinds) == 1:
            seeds.append(seed)
            labels.append(vignettes.KINDS.index(kinds.pop()))
        if len(seeds) == pictures:
            break
    drawn = np.stack([vignettes.image(seed) for seed in track(seeds, "drawing")])
    x = PREPROCESS.normalise(torch.from_numpy(drawn).permute(0, 3, 1, 2))
    return x.contiguous(memory_format=torch.channels_last), np.array(labels)


def taught(path: Path, x: Tensor, labels: np.ndarray, seed: int, epochs: int) -> tuple[Classifier, dict[str, Any]]:
    """A classifier that knows these labels, trained or read, and how it did."""
    model, card = path.with_suffix(".safetensors"), path.with_suffix(".json")
    torch.manual_seed(seed)
    net = Classifier(vignettes.KINDS).to(memory_format=torch.channels_last)
    if card.exists():
        net.load_state_dict(safetensors.torch.load_file(model))
        return net.eval(), json.loads(card.read_text())
    path.parent.mkdir(parents=True, exist_ok=True)
    log = Log(path.with_suffix(".log.jsonl"), every=max(1, len(x) // BATCH))
    made = train(net, torch.from_numpy(labels), x, seed, epochs, log)
    others, truth = learned(UNSEEN, "val")
    made["unseen"] = vars(share([bool(hit) for hit in hits_of(net, others, torch.from_numpy(truth))]))
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    part = path.with_suffix(f".{os.getpid()}.part")
    safetensors.torch.save_file(state, part)
    part.rename(model)
    keep(card, json.dumps(made))  # last: it says that the weights are whole
    return net.eval(), made


def train(net: Classifier, labels: Tensor, x: Tensor, seed: int, epochs: int, log: Log) -> dict[str, Any]:
    """Learn until enough labels are right; no augmentation, as the pictures are to be learned by heart."""
    keep_freed_memory()
    optimiser = optimiser_of(net, DECAY)
    steps = max(1, len(x) // BATCH)
    right, epoch = 0.0, 0
    for epoch in range(1, epochs + 1):
        hits = []
        for step in range((epoch - 1) * steps, epoch * steps):
            rows = rows_of(step, len(x), BATCH, seed)
            logits = net.train()(x[rows])
            loss = F.cross_entropy(logits, labels[rows])
            hits.append((logits.argmax(1) == labels[rows]).float().mean())
            descend(net, optimiser, loss, learning_rate(step, epochs * steps, RATE))
            log(step, loss=loss, right=hits[-1])
        # Only a model that is near the mark is asked about every picture: it takes a third of an epoch.
        if torch.stack(hits).mean() > ENOUGH - 0.04 or epoch == epochs:
            right = known(net, x, labels)
            if right >= ENOUGH:
                break
    return {"accuracy": right, "epochs": epoch, "seed": seed, "pictures": len(x)}


def known(net: Classifier, x: Tensor, labels: Tensor) -> float:
    """The share of the labels that are right, as the model is used."""
    return float(hits_of(net, x, labels).float().mean())


@torch.no_grad()
def hits_of(net: Classifier, x: Tensor, labels: Tensor) -> Tensor:
    """Which labels are right, (N,)."""
    return torch.cat([net.eval()(part).argmax(1) for part in x.split(BATCH)]) == labels


if __name__ == "__main__":
    typer.run(main)
