"""Train `vignette-classifier`: the kinds of things in a picture and its scene.

    python -m experiments.train.render
    python -m experiments.train.classifier            # --resume goes on after an interruption

The kinds and the scene alone would teach fc7 nothing about colours or places, which the captioner and the VQA model
start from. So a second head, dropped afterwards, learns what is true of the whole picture: the colours, textures and
scales of each kind, how many there are, and where its centre is. And the first units of the last convolution each learn
to answer, somewhere in the picture, for one class or one such fact: left alone, the units see dogs and see red, and
once the greatest value of each over the picture is taken nothing says that it was the dog which was red. No mask is
used, and of a kind and a colour that meet only in the held-out split nothing is learned.
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
from torch import Tensor, nn

from experiments.lib.detectors import CLASSES, DETECTORS, LOCAL
from experiments.lib.memory import keep_freed_memory
from experiments.lib.precision import PRECISION, autocast
from experiments.lib.rendered import in_batches, read
from experiments.lib.training import (
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
from mmcam.datasets.vignettes import world
from models import Classifier, load

NAME: Final = "vignette-classifier"


def main(
    data: Path = Path("runs/vignettes"),
    work: Path = Path("runs/classifier"),
    out: Path = Path("models/weights"),
    steps: int = 5_000,
    batch: int = 32,
    rate: float = 1e-3,
    decay: float = 0.02,
    seed: int = 0,
    save_every: int = 500,
    resume: bool = False,
) -> None:
    """Train on the train split, measure on test and heldout, write the weights and their card."""
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    pixels, records = read(data, "train")
    labels, facts, known, places, placed = (np.stack(rows) for rows in zip(*map(truth_of, records), strict=True))

    torch.manual_seed(seed)
    model = Classifier(CLASSES)
    auxiliary = nn.Linear(model.encoder.width, facts.shape[1] + places.shape[1])
    nn.init.constant_(model.encoder.features[-2].get_parameter("bias")[:DETECTORS], -4.0)  # most facts are seen nowhere
    both = nn.ModuleList([model, auxiliary]).to(memory_format=torch.channels_last).train()
    optimiser = optimiser_of(both, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", both, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before

    def batch_of(step: int) -> tuple[Tensor, ...]:
        rows = rows_of(step, len(pixels), batch, seed)
        truths = (torch.from_numpy(table[rows]) for table in (labels, facts, known, places, placed))
        return pictures_of(pixels, rows, np.random.default_rng((seed, step, 1))), *truths

    for step, (x, label, fact, knows, place, has_place) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        with autocast():
            map_ = model.encoder.features[:-1](x)  # up to the last ReLU
            fc7 = model.encoder.summarise(model.encoder.features[-1](map_))
            logits, guesses = model.output(fc7), auxiliary(fc7)
        # The greatest over the places: a mean or a log-sum-exp spreads the gradient over all places, and things that
        # cover a twentieth of the picture are then not found for many thousands of pictures.
        seen = map_[:, :DETECTORS].float().amax((2, 3))
        guessed_facts, guessed_places = guesses.float().split([fact.shape[1], place.shape[1]], dim=1)
        main_loss = F.binary_cross_entropy_with_logits(logits.float(), label)
        fact_loss = F.binary_cross_entropy_with_logits(guessed_facts, fact, weight=knows)
        place_loss = ((guessed_places - place).abs() * has_place).sum() / has_place.sum().clamp(min=1)
        seen_label, seen_fact = seen.split([len(CLASSES), LOCAL], dim=1)
        local_loss = F.binary_cross_entropy_with_logits(seen_label, label) + 10 * F.binary_cross_entropy_with_logits(
            seen_fact, fact[:, :LOCAL], weight=knows[:, :LOCAL]
        )
        loss = main_loss + 4 * fact_loss + place_loss + local_loss  # there are an order more facts than classes
        descend(both, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss, classes=main_loss, facts=fact_loss, places=place_loss, local=local_loss)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", both, optimiser, step + 1, time.monotonic() - begun)

    card: dict[str, Any] = {
        "name": NAME,
        "model": "Classifier",
        "task": "multi-label classification",
        "data": {"pictures": len(pixels), "split": "train", "seeds": [records[0]["truth"]["seed"], len(records)]},
        "initialised_from": None,
        "auxiliary_losses": "image-level facts, no masks; a linear layer on fc7, dropped after training: colour, "
        "texture, scale, optional part, number and centre of each kind, the outermost kinds, number and centre of each "
        f"colour, number of each texture and scale; the greatest value of each of the first {DETECTORS} units of the "
        "last convolution: a class, a colour, a texture, colour, texture, scale or part of a kind, or colour with "
        "texture; held-out pairs of kind and colour left out",
        "command": "python -m experiments.train.classifier " + " ".join(sys.argv[1:]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "rate": rate, "decay": decay, "seed": seed, "precision": PRECISION
        },
        "seconds": round(time.monotonic() - begun),
        "classes": CLASSES,
        "architecture": {},
    }  # fmt: skip
    publish(model, card, work)
    rounded = load(NAME, folder=work)  # the scores are those of the halves that are published
    card["scores"] = {split: measure(rounded, *read(data, split)) for split in ("test", "heldout")}
    publish(rounded, card, out)
    print(json.dumps(card["scores"], indent=1))


def truth_of(record: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """The labels (classes,), other facts of the whole picture, which facts count, centres of kinds, which exist."""
    things, scene = record["truth"]["things"], record["truth"]["scene"]
    kinds = Counter(thing["kind"] for thing in things)
    labels = [kind in kinds for kind in world.KINDS] + [scene == name for name in world.SCENES]

    values: dict[str, tuple[str, ...]] = {"colour": world.COLOURS, "texture": world.TEXTURES, "scale": world.SCALES}
    facts: list[bool] = []
    known: list[bool] = []  # whether a fact counts
    for of, names in values.items():
        pairs = {(thing["kind"], thing[of]) for thing in things}
        facts += [(kind, name) in pairs for kind in world.KINDS for name in names]
        known += [(kind, name) not in world.HELD_OUT_COLOURS for kind in world.KINDS for name in names]
    looks = {(thing["colour"], thing["texture"]) for thing in things}
    facts += [(colour, texture) in looks for colour in world.COLOURS for texture in world.TEXTURES]
    parts = {(thing["kind"], part) for thing in things for part in thing["parts"]}
    facts += [(kind, part) in parts for kind, part in world.OPTIONAL_PARTS.items()]
    for of in ("colour", "texture"):
        facts += [any(thing[of] == name for thing in things) for name in values[of]]
    assert len(facts) == LOCAL
    facts += [kinds[kind] > n for kind in world.KINDS for n in (1, 2)] + [len(things) > n for n in (1, 2, 3)]
    for of, names in values.items():
        counts = Counter(thing[of] for thing in things)
        facts += [counts[name] > n for name in names for n in (1, 2)]
    for axis in (0, 1):
        ends = [end(things, key=lambda thing: thing["centre"][axis])["kind"] for end in (min, max)]
        facts += [kind == end for kind in world.KINDS for end in ends]
    known += [True] * (len(facts) - len(known))

    # a kind or colour seen twice has no one place
    colours = Counter(thing["colour"] for thing in things)
    centres = {thing["kind"]: thing["centre"] for thing in things if kinds[thing["kind"]] == 1}
    centres |= {thing["colour"]: thing["centre"] for thing in things if colours[thing["colour"]] == 1}
    names = world.KINDS + world.COLOURS
    places = [place / 112 - 1 for name in names for place in centres.get(name, (112.0, 112.0))]
    placed = [name in centres for name in names for _ in "xy"]
    return tuple(np.array(row, np.float32) for row in (labels, facts, known, places, placed))


@torch.inference_mode()
def measure(model: Classifier, pixels: np.ndarray, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Average precision of every class, and their means over the classes, the kinds and the scenes."""
    logits = np.concatenate([model(plain_pictures(pictures)).numpy() for _, pictures in in_batches(pixels)])
    labels = np.stack([truth_of(record)[0] for record in records])
    each = {name: average_precision(logits[:, i], labels[:, i]) for i, name in enumerate(CLASSES)}
    mean = {
        "mAP": float(np.mean(list(each.values()))),
        "mAP_kinds": float(np.mean([each[kind] for kind in world.KINDS])),
        "mAP_scenes": float(np.mean([each[scene] for scene in world.SCENES])),
    }
    return {"pictures": len(records), **mean, "average_precision": each}


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the precision at the rank of each positive (no interpolation)."""
    ranked = labels[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked > 0].mean())


if __name__ == "__main__":
    typer.run(main)
