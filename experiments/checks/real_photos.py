"""Real photographs, real ImageNet networks: are they classified rightly, and do the maps point at the thing?

Needs the folder named by MMCAM_REAL_DATA (see data/README.md). MobileNetV2 (original aspect, shorter side 256, centre
crop 225), SqueezeNet (squashed to 227), EfficientNet-Lite0 and -Lite2 (squashed to 224 and 260). Pointing follows the
pointing game without tolerance: the maximum of the map for the true class, in original pixels, lies in one of its
boxes.

    MMCAM_REAL_DATA=… python -m experiments.checks.real_photos
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import track
from torch import Tensor

import mmcam
from experiments.lib.photographs import CLASSES, FREE_WITH_CREDIT, Network, counted, networks, spread, validation
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation import mean
from mmcam.evaluation.localisation import covered
from mmcam.evaluation.pointing import centre, chance, inside

ERROR = " ± s.e."


def measure(network: Network, root: Path, limit: int | None = None) -> dict[str, Any]:
    """Accuracy and pointing of one network over the photographs (or the first `limit`)."""
    top1, top5, rows = [], [], []
    for i, photo in enumerate(track(validation(root), network.name, total=limit)):
        if limit is not None and i >= limit:
            break
        picture, made = photo.open(network.preprocess), list[Tensor]()
        true = partial(logit_of, label=photo.label, made=made)
        exp = mmcam.explain_class(network.model, picture, true, preprocess=network.preprocess)
        best = made[-1][0].topk(5).indices.tolist()
        top1.append(best[0] == photo.label)
        top5.append(photo.label in best)
        if not photo.boxes:
            continue
        mask = covered(photo.boxes, photo.size)
        peak = spread(exp, network.preprocess, photo.size).peak()
        rows.append((inside(peak, mask), inside(centre(mask), mask), chance(mask)))
    hits = np.array(rows, dtype=float)
    small = hits[hits[:, 2] < 0.25]
    return {
        "network": network.name,
        "photographs": len(top1),
        **percent("top-1 %", top1),
        **percent("top-5 %", top5),
        "with boxes": len(hits),
        **shares("all", hits),
        "small boxes": len(small),
        **shares("small", small),
    }


def logit_of(logits: Tensor, label: int, made: list[Tensor]) -> Tensor:
    """A class's logit; all logits are kept, so that one pass tells the answer and the map."""
    made.append(logits.detach())
    return logits[:, label]


def shares(name: str, hits: np.ndarray) -> dict[str, float]:
    """Pointing of the map, of the centre and of a random pixel, in percent, with standard errors."""
    if not len(hits):
        return {}
    found: dict[str, float] = {}
    for what, column in zip(("pointing", "centre", "random"), hits.T, strict=True):
        found |= percent(f"{what} {name} %", column)
    return found


def percent(name: str, values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """A share in percent and, as "NAME ± s.e.", its standard error, each photograph having one value."""
    share = mean(100 * np.asarray(values, dtype=float))
    return {name: share.value, name + ERROR: share.standard_error}


def sheet(network: Network, root: Path, count: int = 20) -> tuple[Image.Image, list[str]]:
    """Predicted classes and overlays for COCO photographs under CC BY 2.0, and the credit line of each."""
    index = json.loads((root / "coco" / "instances.json").read_text())
    free = [image for image in index["images"] if image["license"] == FREE_WITH_CREDIT][:count]
    files = [root / "coco" / "images" / image["file_name"] for image in free]
    panels, notes, credits = [], [], []
    for image, exp in zip(
        free, mmcam.explain_class(network.model, files, preprocess=network.preprocess, names=CLASSES), strict=True
    ):
        panels += [(exp.image, ""), (exp.overlay(), exp.target)]
        notes += ["", f"{exp.score:.1f}"]
        credits.append(f"COCO {image['id']}, {image['flickr_url']}, CC BY 2.0 ({exp.target})")
    return draw_strip(panels, notes, columns=8), credits


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs and weights.")],
    limit: Annotated[int | None, typer.Option(help="Only the first so many photographs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the sheet.")] = Path("experiments/results"),
) -> None:
    """Measure the networks on the validation photographs and draw a sheet of freely licensed ones."""
    found = networks(root)
    rows = [measure(network, root, limit) for network in found]
    command = "MMCAM_REAL_DATA=… python -m experiments.checks.real_photos" + (f" --limit {limit}" if limit else "")
    report = {**stamp(command, pictures=rows[0]["photographs"]), "rows": rows}
    picture, credits = sheet(found[2], root)
    keep_sheet(out / "real-photos.webp", picture)
    head = ["", *(row["network"] for row in report["rows"])]
    keys = [key for key in report["rows"][0] if key != "network" and not key.endswith(ERROR)]
    cells = [[key, *(told(row, key) for row in report["rows"])] for key in keys]
    below = [
        "",
        f"{counted(rows[0]['photographs'], root)} photographs. ±: standard error over them. Small boxes cover less "
        "than a quarter of the picture. MobileNetV2 sees the centre crop; the others see the whole photograph, "
        "squashed.",
        "",
        "![Twenty photographs and their maps](real-photos.webp)",
        "",
        "EfficientNet-Lite0's predicted class and its Grad-CAM. Photographs:",
        "",
        *(f"- {line}" for line in credits),
    ]
    show(out / "real-photos", report, head, cells, [f"`{report['command']}`"], below)


def told(row: dict[str, Any], key: str) -> str:
    """A number, or a share and its standard error; "" where there was no such photograph."""
    if key not in row:
        return ""
    if key + ERROR not in row:
        return str(row[key])
    return with_error({"value": row[key], "standard_error": row[key + ERROR]})


if __name__ == "__main__":
    typer.run(main)
