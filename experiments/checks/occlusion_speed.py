"""How many photographs a minute of one processor core are occlusion maps made of?

Each photograph is taken twice, one way after the other, in CPU seconds: as mmcam does it, and by the same passes with
the pictures as tensors lie. The maps are compared.

    python -m experiments.checks.occlusion_speed --root $MMCAM_REAL_DATA    # two minutes
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer

import mmcam
from experiments.lib.many_passes import covered, starts
from experiments.lib.memory import keep_freed_memory
from experiments.lib.photographs import named, validation
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.preparation import batch_of

NETWORKS: Final = ("SqueezeNet 1.0", "EfficientNet-Lite0")


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")],
    limit: Annotated[int, typer.Option(min=1, help="Photographs.")] = 6,
    targets: Annotated[int, typer.Option(min=1, help="Classes of each, as many as localisation asks for.")] = 6,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write occlusion-speed.json and .md."""
    torch.set_num_threads(1)
    keep_freed_memory()
    photos, there = list(islice(validation(root), limit)), sum(1 for _ in validation(root))
    rows: list[dict[str, Any]] = []
    for name in NETWORKS:
        network = named(root, name)
        x = [batch_of(network.model, [photo.open(network.preprocess)], network.preprocess).x for photo in photos]
        spent: dict[str, list[float]] = {"before": [], "after": []}
        for picture in (x[0], *x):  # the first to warm up
            with torch.no_grad():
                classes = network.model(picture)[0].topk(targets).indices.tolist()
            before, plain = timed(lambda: alone(network.model, picture, classes))  # noqa: B023 - called at once
            after, maps = timed(lambda: mmcam.attribute(network.model, picture, classes, method="occlusion")[:, 0])  # noqa: B023
            torch.testing.assert_close(maps, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))
            spent["before"].append(before)
            spent["after"].append(after)
        seconds = {way: statistics.median(own[1:]) for way, own in spent.items()}
        rows.append({"network": name, "passes": passes(x[0]), **seconds, "all": there * seconds["after"]})
    command = f"python -m experiments.checks.occlusion_speed --limit {limit} --targets {targets}"
    show(
        out / "occlusion-speed",
        {**stamp(command, pictures=limit, libraries=("timm",)), "rows": rows},
        ("network", "passes", "pictures a CPU minute, before", "after", "ratio", f"CPU minutes of all {there}"),
        [
            [
                row["network"],
                str(row["passes"]),
                *(f"{60 / row[way]:.1f}" for way in ("before", "after")),
                f"{row['before'] / row['after']:.2f}",
                f"{row['all'] / 60:.0f}",
            ]
            for row in rows
        ],
        [f"`{command}`: occlusion by squares of 32 pixels, 16 apart; {targets} classes of each photograph at once."],
    )


def timed(run: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """CPU seconds of a call, and what it gives."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def passes(x: torch.Tensor) -> int:
    """Pictures that go through the model for a map."""
    return 1 + len(starts(x.shape[-2], 32, 16)) * len(starts(x.shape[-1], 32, 16))


@torch.no_grad()
def alone(model: torch.nn.Module, x: torch.Tensor, classes: list[int]) -> torch.Tensor:
    """The maps (T,H,W) of classes by the same passes, of pictures as tensors lie."""
    scores = torch.cat([model(pictures)[:, classes] for pictures in covered(x)])
    height, width = x.shape[-2:]
    falls, count = x.new_zeros(len(classes), height, width), x.new_zeros(height, width)
    corners = [(top, left) for top in starts(height, 32, 16) for left in starts(width, 32, 16)]
    for (top, left), own in zip(corners, scores[1:], strict=True):
        falls[:, top : top + 32, left : left + 32] += (scores[0] - own)[:, None, None]
        count[top : top + 32, left : left + 32] += 1
    return falls / count


if __name__ == "__main__":
    typer.run(main)
