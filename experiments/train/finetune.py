"""Train a captioner of photographs on: its encoder's last layers with it, or by the scores of its own captions.

    python -m experiments.train.finetune RUN --root FLICKR8K --layers 4                  # likelihood, as before
    python -m experiments.train.finetune RUN --root FLICKR8K --objective cider --rate 1e-4

RUN is a folder that `experiments.train.captioner` or this script wrote. Every photograph is encoded once up to the last
layers that are trained; a step runs those on what was kept. Their batch norms keep their statistics. The objective
"cider" is self-critical training on CIDEr-D (`experiments.lib.self_critical`). `--resume` goes on after a break.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor, nn

from experiments.lib.caption_training import captions_of, surprise
from experiments.lib.captioned import CAPTIONS, Split, photo_splits
from experiments.lib.captions_judged import judged, kept
from experiments.lib.cider_reward import CiderReward
from experiments.lib.memory import keep_freed_memory
from experiments.lib.mirrored import encode
from experiments.lib.precision import PRECISION
from experiments.lib.self_critical import self_critical
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
from models import Captioner, Speaker, load


def main(
    run: Annotated[Path, typer.Argument(help="Folder of the captioner to start from.")],
    root: Annotated[Path, typer.Option(help="Flickr8k's folder.")],
    name: Annotated[str, typer.Option(help="Of the result, a folder of its own.")] = "photo-captioner",
    objective: Annotated[Literal["likelihood", "cider"], typer.Option(help="What is made greater.")] = "likelihood",
    layers: Annotated[int, typer.Option(help="The encoder's last layers, which learn too.")] = 0,
    slower: Annotated[float, typer.Option(help="Their rate, as a share of the others'.")] = 0.1,
    work: Path = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Where weights and card go in the end, beside the run.")] = None,
    steps: int = 500,
    batch: int = 64,
    rate: float = 2e-4,
    decay: float = 0.02,
    dropout: Annotated[float, typer.Option(help="While training by likelihood.")] = 0.5,
    smoothing: Annotated[float, typer.Option(help="Share of a word's probability that is owed to all alike.")] = 0.0,
    samples: Annotated[int, typer.Option(help="Captions drawn of a photograph, for the objective cider.")] = 5,
    temperature: Annotated[float, typer.Option(help="What logits are divided by as they are drawn.")] = 1.0,
    mirror: Annotated[bool, typer.Option(help="See half of the photographs mirrored.")] = True,
    share: Annotated[float, typer.Option(help="Of the training photographs, for trials.")] = 1.0,
    seed: int = 0,
    save_every: int = 100,
    resume: bool = False,
) -> None:
    """Train on, measure on the validation and the test split, write the weights."""
    if (run / f"{name}.json").exists():
        raise typer.BadParameter(f"{run} would be overwritten; give the result another --name.")
    work = work / name
    work.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    speaker: Speaker = load(run.name, folder=run)
    speaker.dropout.p = dropout
    splits = photo_splits("flickr8k", root, None, speaker.convolutions.preprocess)
    train = splits["train"]
    front, behind = parted(speaker, layers)
    seen = encode(front.eval(), train, work.parent, "flickr8k-train", mirror)
    used = min(len(seen), max(batch, round(share * len(seen))))
    loss_of = objective_of(objective, speaker, train, smoothing=smoothing, samples=samples, temperature=temperature)

    speaker.train(objective == "likelihood")
    speaker.backbone.eval().requires_grad_(False)
    behind.requires_grad_(True)
    optimiser = optimiser_of(speaker, decay, slow=behind, factor=slower)
    start, spent = load_checkpoint(work / "checkpoint.pt", speaker, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=20), time.monotonic() - spent

    def batch_of(step: int) -> tuple[list[int], Tensor]:
        rows = rows_of(step, used, batch, seed)
        return rows.tolist(), seen.batch(rows, (seed, step))

    for step, (rows, x) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        loss, figures = loss_of(behind(x), rows)
        descend(speaker, optimiser, loss, learning_rate(step, steps, rate))
        log(step, **figures)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", speaker, optimiser, step + 1, time.monotonic() - begun)

    stage = {
        "command": " ".join(["python -m experiments.train.finetune", *sys.argv[1:]]),
        "hyperparameters": {
            "objective": objective, "layers": layers, "slower": slower, "steps": steps, "batch": batch, "rate": rate,
            "decay": decay, "dropout": dropout, "smoothing": smoothing, "samples": samples, "temperature": temperature,
            "mirror": mirror, "seed": seed, "precision": PRECISION,
        },
        "data": {"set": "flickr8k", "split": "train", "pictures": used, "captions": CAPTIONS * used},
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    before = json.loads((run / f"{run.name}.json").read_text())
    card: dict[str, Any] = {**before, "name": name, "stages": [*stages_of(before), stage]}
    publish(speaker, card, work)
    rounded = load(name, folder=work)  # the scores are those of the halves that are published
    if share < 1:  # a trial: the validation split alone, from what the first layers made of it
        front, behind = parted(rounded, layers)
        card |= judged(rounded, {"val": kept(front, splits["val"], work.parent)}, work, behind)
    else:
        card |= judged(rounded, {split: splits[split] for split in ("val", "test")}, work)
    publish(rounded, card, work)
    if out is not None:
        publish(rounded, card, out)
    print(json.dumps(card["scores"], indent=1))


def parted(speaker: Speaker, layers: int) -> tuple[nn.Module, nn.Module]:
    """The encoder up to its last `layers` layers, and these, which give what the language side sees."""
    if layers == 0:
        return speaker.backbone, nn.Identity()
    each = list(speaker.convolutions)
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if isinstance(speaker, Captioner) else []
    return nn.Sequential(*each[:-layers]), nn.Sequential(*each[-layers:], *mean)


def objective_of(
    objective: str, speaker: Speaker, train: Split, *, smoothing: float, samples: int, temperature: float
) -> Callable[[Tensor, list[int]], tuple[Tensor, dict[str, Tensor]]]:
    """From what is seen of photographs and their numbers to the loss and what the log tells."""
    if objective == "likelihood":
        tokens = torch.from_numpy(captions_of(speaker, train))

        def likelihood(seen: Tensor, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
            loss = surprise(speaker, seen, tokens[rows], smoothing)
            return loss, {"loss": loss}

        return likelihood
    reward = CiderReward(train.captions)

    def cider(seen: Tensor, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        loss, score = self_critical(speaker, seen, rows, reward, samples, temperature)
        return loss, {"reward": score}

    return cider


def stages_of(card: dict[str, Any]) -> list[dict[str, Any]]:
    """How the captioner of a card was trained, stage by stage, with what it scored after each."""
    told = {key: card[key] for key in ("command", "hyperparameters", "data", "seconds") if key in card}
    stages = card.get("stages", [told])
    found = {key: card[key] for key in ("scores", "beam") if key in card}
    return [*stages[:-1], {**stages[-1], **found}]


if __name__ == "__main__":
    typer.run(main)
