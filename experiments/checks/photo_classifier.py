"""What `photo-classifier` gets right on real ILSVRC photographs, and what its probability is worth; the card's scores.

```sh
MMCAM_REAL_DATA=… python -m experiments.checks.photo_classifier
```

The photographs are read as they are stored, squashed to 227×227, and squashed to the network's 224.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from rich.progress import track
from torch import Tensor

import mmcam
import models
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import mean
from mmcam.files import write_whole

NAME: Final = "photo-classifier"
BATCH: Final = 32


def main(
    data: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA")],
    pictures: int | None = None,
    out: Path = Path("experiments/results"),
    card: Path = models.WEIGHTS / f"{NAME}.json",
) -> None:
    """Accuracies, of all and by the probability of the best class; write photo-classifier.json, .md and the card."""
    with (data / "imagenet_val" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:pictures]
    labels = torch.tensor([int(row["class_index"]) for row in rows])
    probability = classified([data / "imagenet_val" / "images" / row["file"] for row in rows])
    figures = scores(probability, labels)
    command = "MMCAM_REAL_DATA=… python -m experiments.checks.photo_classifier"
    report = {**stamp(command, pictures=len(rows), libraries=("timm",)), "rows": figures}
    head = ("photographs", "how many", "top-1 %", "top-5 %", "mean probability of the best class %")
    cells = [
        [row["of"], str(row["pictures"]), *(with_error(row[key], 100) for key in ("top1", "top5", "probability"))]
        for row in figures
    ]
    above = ["# `photo-classifier` on real photographs", "", f"`{command}`"]
    below = ["±: standard error over the photographs, which are an easier subset of ILSVRC's validation set."]
    show(out / NAME, report, head, cells, above, below)
    told: dict[str, Any] = json.loads(card.read_text())
    told["scores"] = {"ILSVRC validation, a subset": {"command": command, "rows": figures}}
    write_whole(card, lambda file: file.write((json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()))


@torch.no_grad()
def classified(paths: list[Path]) -> Tensor:
    """Probabilities (pictures, classes)."""
    model = models.load(NAME)
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    return torch.cat(
        [
            model(torch.stack([model.preprocess(mmcam.load_image(path))[0] for path in batch])).softmax(1)
            for batch in track(batches, "Classifying")
        ]
    )


def scores(probability: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Accuracies of all photographs, and of those whose best class has half of the probability or less.

    Args:
        probability: (N, classes).
        labels: (N,).
    """
    best, order = probability.amax(1), probability.argsort(1, descending=True)
    right = order[:, :5] == labels[:, None]
    parts = {
        "all": torch.ones_like(best, dtype=torch.bool),
        "its best class has half of the probability": best >= 0.5,
        "no class has": best < 0.5,
    }
    return [
        {
            "of": name,
            "pictures": int(part.sum()),
            "top1": vars(mean(right[part, 0].double().numpy())),
            "top5": vars(mean(right[part].any(1).double().numpy())),
            "probability": vars(mean(best[part].double().numpy())),
        }
        for name, part in parts.items()
        if part.any()
    ]


if __name__ == "__main__":
    typer.run(main)
