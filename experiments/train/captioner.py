"""Train a captioner: one sentence about a picture.

    python -m experiments.train.captioner                                  # vignette-captioner, as neuraltalk2
    python -m experiments.train.captioner --model ShowAttendTell           # vignette-show-attend-tell
    python -m experiments.train.captioner --model TransformerCaptioner     # vignette-transformer-captioner
    python -m experiments.train.captioner --data flickr8k --root FLICKR8K --model ShowAttendTell --region 512 --mirror
    python -m experiments.train.captioner --data flickr8k --root FLICKR8K --encoder mobilenet_v2 --encoder-weights FILE
    python -m experiments.train.captioner --data karpathy --root COCO/dataset_coco.json --pictures COCO …

The encoder stays as it is, so every picture is encoded once; the language side learns on what it gave. A step reads the
five captions of each of its pictures. `--resume` goes on after an interruption.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from torch import Tensor, nn

from experiments.lib.caption_training import built, captions_of, measure, speak, surprise
from experiments.lib.captioned import CAPTIONS, Data, Split, photo_splits, vignette_split, vocabulary_of
from experiments.lib.captions_judged import judged, kept
from experiments.lib.memory import keep_freed_memory
from experiments.lib.mirrored import encode
from experiments.lib.precision import PRECISION
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
from models import WEIGHTS, Captioner, Speaker, load
from models.efficientnet_lite import PUBLISHED
from models.photo import SIDES, photo_features
from models.speaker import BEAM

NAMES: Final = {
    "Captioner": "captioner",
    "ShowAttendTell": "show-attend-tell",
    "TransformerCaptioner": "transformer-captioner",
}
SEARCHES: Final = {"scores": BEAM, "scores of the likeliest word each time": 1}
HELD: Final = ("test", "heldout")  # the splits of vignettes that are scored in the end


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "Captioner",
    data: Data = "vignettes",
    root: Annotated[Path, typer.Option(help="Rendered vignettes, Flickr8k's folder, or Karpathy's file.")] = Path(
        "runs/vignettes"
    ),
    pictures: Annotated[Path | None, typer.Option(help="Pictures of Karpathy's file; default beside it.")] = None,
    encoder: Annotated[
        str, typer.Option(help=f"Of photographs: {', '.join((*PUBLISHED, *SIDES))}, or another of torchvision.")
    ] = "efficientnet_lite0",
    encoder_weights: Annotated[Path | None, typer.Option(help="The state dict of a torchvision network.")] = None,
    work: Path = Path("runs"),
    out: Path = Path("models/weights"),
    start_from: Path = WEIGHTS,
    steps: int = 9_000,
    batch: int = 64,
    rate: float = 3e-3,
    decay: float = 0.02,
    dropout: Annotated[float, typer.Option(help="On words and before the output, while training.")] = 0.0,
    width: Annotated[int | None, typer.Option(help="Of the language side; default the model's own.")] = None,
    region: Annotated[int | None, typer.Option(help="Numbers a region, of ShowAttendTell; default as encoded.")] = None,
    smoothing: Annotated[float, typer.Option(help="Share of a word's probability that is owed to all alike.")] = 0.0,
    mirror: Annotated[bool, typer.Option(help="See half of the photographs mirrored.")] = False,
    share: Annotated[float, typer.Option(help="Of the training photographs, for trials.")] = 1.0,
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
    if region is not None:
        more["region"] = region
    card: dict[str, Any] = {"name": name, "model": model, "task": "captioning"}
    if data == "vignettes":
        splits = {split: vignette_split(root, split) for split in ("train", *HELD)}
        card |= {"vocabulary": captions.VOCABULARY, "architecture": more}
        speaker = built(card)
        source = load("vignette-vqa", folder=start_from).encoder
        same = source if isinstance(speaker, Captioner) else source.features
        speaker.backbone.load_state_dict(same.state_dict())
        card["initialised_from"] = "the encoder of vignette-vqa, which stays as it is"
    else:
        if encoder_weights is None and encoder not in PUBLISHED:
            raise typer.BadParameter(f"{encoder} needs trained weights; pass its state dict with --encoder-weights.")
        convolutions = photo_features(encoder, encoder_weights)
        splits = photo_splits(data, root, pictures, convolutions.preprocess)
        card |= {"vocabulary": vocabulary_of(splits["train"].captions), "architecture": more, "encoder": encoder}
        speaker = built(card)
        speaker.convolutions.load_state_dict(convolutions.state_dict())
        source_name = encoder if encoder_weights is None else encoder_weights.name
        card["initialised_from"] = f"{source_name}, which stays as it is"
    speaker.backbone.to(memory_format=torch.channels_last)
    train = splits["train"]
    tokens = captions_of(speaker, train)
    seen = encode(speaker.backbone.eval(), train, work.parent, f"{name.split('-')[0]}-train", mirror)
    pictures_used = min(len(seen), max(batch, round(share * len(seen))))

    speaker.train()
    speaker.backbone.eval().requires_grad_(False)
    optimiser = optimiser_of(speaker, decay)
    start, before = load_checkpoint(work / "checkpoint.pt", speaker, optimiser) if resume else (0, 0.0)
    log, begun = Log(work / "log.jsonl", every=50), time.monotonic() - before

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        rows = rows_of(step, pictures_used, batch, seed)
        return seen.batch(rows, (seed, step)), torch.from_numpy(tokens[rows])

    for step, (x, text) in loaded(batch_of, start, steps):
        torch.manual_seed(seed + step)
        loss = surprise(speaker, x, text, smoothing)
        descend(speaker, optimiser, loss, learning_rate(step, steps, rate))
        log(step, loss=loss)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_checkpoint(work / "checkpoint.pt", speaker, optimiser, step + 1, time.monotonic() - begun)

    card |= {
        "data": {"set": data, "split": "train", "pictures": pictures_used, "captions": CAPTIONS * pictures_used},
        "command": " ".join(["python -m experiments.train.captioner", *sys.argv[1:]]),
        "hyperparameters": {
            "steps": steps, "batch": batch, "rate": rate, "decay": decay, "dropout": dropout, "seed": seed,
            "smoothing": smoothing, "mirror": mirror, "precision": PRECISION,
        },
        "seconds": round(time.monotonic() - begun),
        "beam": BEAM,
    }  # fmt: skip
    publish(speaker, card, work)
    rounded = load(name, folder=work)  # the scores are those of the halves that are published
    if data == "vignettes":
        card |= scores_of(rounded, {split: splits[split] for split in HELD}, work)
    elif share < 1:  # a trial
        card |= judged(rounded, {"val": kept(rounded.backbone, splits["val"], work.parent)}, work, nn.Identity())
    else:
        card |= judged(rounded, {split: splits[split] for split in ("val", "test")}, work)
    publish(rounded, card, out if data == "vignettes" else work)
    print(json.dumps(card["scores"], indent=1))


def scores_of(model: Speaker, held: dict[str, Split], folder: Path) -> dict[str, Any]:
    """The scores of vignettes by each of the `SEARCHES`; every caption is kept in `folder`."""
    said = {split: speak(model, own, tuple(SEARCHES.values())) for split, own in held.items()}
    scores = {}
    for i, (key, beam) in enumerate(SEARCHES.items()):
        scores[key] = {split: measure(said[split][i], own) for split, own in held.items()}
        whole = {split: {"said": said[split][i], "references": own.captions} for split, own in held.items()}
        keep(folder / f"said-{beam}.json", json.dumps(whole))
    return scores


if __name__ == "__main__":
    typer.run(main)
