"""Do the maps show what the model goes by? Occlusion, drop and increase, insertion, deletion, ROAD, max-sensitivity.

For every method and two baselines, on test vignettes (the bundled classifier) and, where MMCAM_REAL_DATA is set, on
ILSVRC validation photographs (SqueezeNet). Explained is a class that the model finds in the picture: on a vignette one
of the kinds that are there and that it gives a probability above a half, on a photograph the predicted one.

    nice python -m experiments.faithfulness                    # some ten minutes; goes on where it was stopped
    MMCAM_REAL_DATA=… python -m experiments.faithfulness --worlds photographs --pictures 30
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
import models
from experiments.method_table import versions
from experiments.real_photos import networks, validation
from experiments.tables import keep, show
from mmcam.datasets import vignettes
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.deletion import deletion, insertion, road
from mmcam.evaluation.drop import drops, seen_through, win
from mmcam.evaluation.sensitivity import max_sensitivity

METHODS: Final = (
    "gradcam",
    "gradcam++",
    "layercam",
    "hirescam",
    "guided_backprop",
    "guided_gradcam",
    "c_mwp",
    "gradient",
)
BASELINES: Final = ("(random)", "(centre)")
WORLDS: Final = {"vignettes": 40, "photographs": 30}
"""Which pictures, and how many unless told otherwise."""

SETTINGS: Final[dict[str, Any]] = {
    "steps": 14,
    "shares": [0.1, 0.3, 0.5, 0.7, 0.9],
    "radius": 0.02,
    "samples": 5,
    "patch": 32,
    "stride": 16,
}
LEGEND: Final = (
    "Occlusion: Spearman's rank correlation of the map with that of squares of 32 pixels, stride 16, covered with the "
    "mean colour, both brought to 14×14 (Grad-CAM, section 5.3). Drop, increase and win (against Grad-CAM): of the "
    "class's probability when the picture is multiplied by its map, in the model's input, so that 0 is the mean colour "
    "(Grad-CAM++, section 4.1). Insertion (from the blurred picture) and deletion (to the mean colour): area under "
    f"the probability in {SETTINGS['steps']} steps (RISE, section 4.1). ROAD: mean probability with 10, 30, 50, 70 and "
    "90 % of the pixels imputed, most relevant first. Sensitivity: max ‖Φ(y) − Φ(x)‖/‖Φ(x)‖ over "
    f"{SETTINGS['samples']} noisy pictures, {SETTINGS['radius']} in units of the model's input; of the baselines, "
    "which do not look at the picture, it is 0 and left out. ↑ higher is better, ↓ lower. ±: standard error "
    "over the pictures. A pixel map counts by the largest magnitude over its channels, a layer's map is enlarged "
    "bilinearly. Pictures on which a figure is undefined (an empty map has no ranks) are left out of it."
)
PUBLISHED: Final[dict[str, dict[str, str]]] = {
    "gradcam": {"occlusion": "0.254", "drop": "46.56~", "increase": "13.42~", "win": "29.28~"},
    "gradcam++": {"drop": "36.84~", "increase": "17.05~", "win": "70.72~"},
    "guided_backprop": {"occlusion": "0.168"},
    "guided_gradcam": {"occlusion": "0.261"},
    "c_mwp": {"occlusion": "0.220"},
}
SOURCES: Final = (
    "Published: occlusion on 2510 VOC07 val photographs (Grad-CAM, arXiv 1610.02391; that the correlation is "
    "Spearman's is ~), the others of VGG-16 (Grad-CAM++, arXiv 1710.11063; win of each of the two against the other). "
    "Also published, of answers to questions: occlusion 0.60 ± 0.038 for Grad-CAM, 0.42 ± 0.038 for guided backprop. "
    "~ is remembered and was not read again. Other networks and pictures than ours: only the order can be compared."
)

Explain = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Asked:
    """A picture as the model takes it, (C,H,W), and the class that is explained."""

    picture: Tensor
    label: int


def main(
    worlds: Annotated[
        list[str] | None, typer.Option(help="Default vignettes, and photographs if they are there.")
    ] = None,
    pictures: Annotated[int | None, typer.Option(help="Of each world; default 40 vignettes, 30 photographs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for figures of finished pictures.")] = Path("runs/faithfulness"),
) -> None:
    """Measure, and write faithfulness-WORLD.json and .md."""
    for world in worlds or [name for name in WORLDS if name == "vignettes" or "MMCAM_REAL_DATA" in os.environ]:
        count = pictures or WORLDS[world]
        model, probability = network(world)
        records = []
        for i, asked in enumerate(track(questions(world, model, count), world, total=count)):
            done = work / f"{world}-{i}.json"
            record = json.loads(done.read_text()) if done.exists() else {}
            if record.get("settings") != SETTINGS:
                record = {"settings": SETTINGS, "label": asked.label, "figures": judged(model, probability, asked, i)}
                keep(done, json.dumps(record))
            records.append(record["figures"])
        table(world, records, out)


def network(world: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The model of a world, and what makes probabilities of its logits."""
    if world == "vignettes":
        model: nn.Module = models.load("vignette-classifier")
        return model.to(memory_format=torch.channels_last), torch.sigmoid
    if "MMCAM_REAL_DATA" not in os.environ:
        raise typer.BadParameter("Photographs need the folder named by MMCAM_REAL_DATA (see data/README.md).")
    squeezenet = networks(Path(os.environ["MMCAM_REAL_DATA"]))[1].model
    return squeezenet.to(memory_format=torch.channels_last), lambda logits: logits.softmax(1)


@torch.no_grad()
def questions(world: str, model: Any, count: int) -> Iterator[Asked]:
    """`count` pictures and their classes."""
    if world == "photographs":
        root = Path(os.environ["MMCAM_REAL_DATA"])
        preprocess = networks(root)[1].preprocess
        for _, photo in zip(range(count), validation(root), strict=False):
            x = preprocess(photo.picture)[0]
            yield Asked(x, int(model(x[None]).argmax()))
        return
    asked = 0
    for i in range(100 * count):
        scene = vignettes.draw(vignettes.seed("test", i))
        kinds = sorted({thing.kind for thing in scene.truth.things})
        x = model.preprocess(scene.image)[0]
        label = list(model.classes).index(kinds[i % len(kinds)])
        if model(x[None])[0, label] > 0:
            yield Asked(x, label)
            asked += 1
        if asked == count:
            return


def explain(model: nn.Module, method: str, label: int) -> Explain:
    """From pictures (M,C,H,W) to a method's maps (M,h,w), at their own resolution."""

    def maps(x: Tensor) -> Tensor:
        made = mmcam.attribute(model, x, [label], method=method)[0]
        return made if made.ndim == 3 else made.abs().amax(1)

    return maps


def baseline(name: str, size: tuple[int, int], i: int) -> Tensor:
    """A map (H,W) that has not seen the picture: noise, or a Gaussian in the middle."""
    if name == "(random)":
        return torch.rand(size, generator=torch.Generator().manual_seed(i))
    y, x = (((torch.arange(side) + 0.5) / side - 0.5) for side in size)
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 0.25**2))


def judged(model: nn.Module, probability: Callable[[Tensor], Tensor], asked: Asked, i: int) -> dict[str, Any]:
    """All figures of one picture, by method."""
    picture, label, s = asked.picture, asked.label, SETTINGS
    size = (picture.shape[-2], picture.shape[-1])

    def score(x: Tensor) -> Tensor:
        return probability(model(x.contiguous(memory_format=torch.channels_last)))[:, label]

    truth = mmcam.attribute(model, picture[None], [label], method="occlusion", patch=s["patch"], stride=s["stride"])[
        0, 0
    ]
    figures = {}
    for method in (*METHODS, *BASELINES):
        seeing = method in METHODS
        cam = explain(model, method, label)(picture[None])[0] if seeing else baseline(method, size, i)
        heatmap = F.interpolate(cam[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        with torch.no_grad():
            whole, seen = score(torch.cat([picture[None], seen_through(picture[None], heatmap)])).tolist()
        figures[method] = {
            "occlusion": rank_correlation(cam, truth),
            "whole": whole,
            "seen": seen,
            "insertion": insertion(score, picture, heatmap, steps=s["steps"], rows=16, seed=i).area,
            "deletion": deletion(score, picture, heatmap, steps=s["steps"], rows=16, seed=i).area,
            "road": road(score, picture, heatmap, shares=s["shares"], rows=16, seed=i).mean,
        }
        if seeing:
            figures[method]["sensitivity"] = max_sensitivity(
                explain(model, method, label), picture, radius=s["radius"], samples=s["samples"], seed=i
            )
    return figures


def table(world: str, records: list[dict[str, Any]], out: Path) -> None:
    """The mean figures of every method, as a table."""
    rows = [summary(method, records) for method in (*METHODS, *BASELINES)]
    head = ["method", "n", "occlusion ↑", "published", "drop % ↓", "published", "increase % ↑", "published", "win % ↑"]
    head += ["published", "insertion ↑", "deletion ↓", "ROAD ↓", "sensitivity ↓"]
    cells = []
    for row in rows:
        known = PUBLISHED.get(row["method"], {})
        line = [row["method"], str(row["n"])]
        for key, digits in (("occlusion", 3), ("drop", 1), ("increase", 1), ("win", 1)):
            line += [told(row, key, digits), known.get(key, "")]
        line += [told(row, key, 3) for key in ("insertion", "deletion", "road", "sensitivity")]
        cells.append(line)
    command = f"python -m experiments.faithfulness --worlds {world} --pictures {len(records)}"
    before = "MMCAM_REAL_DATA=… " if world == "photographs" else ""
    made = ", ".join(f"{name} {value}" for name, value in versions().items())
    shown = {
        "vignettes": "test vignettes, vignette-classifier, sigmoid probabilities",
        "photographs": "ILSVRC validation photographs, SqueezeNet 1.0, softmax probabilities, the predicted class",
    }[world]
    above = [f"`{before}{command}`: {made}. {len(records)} {shown}.", "", LEGEND, "", SOURCES]
    report = {
        "command": before + command,
        "versions": versions(),
        "settings": SETTINGS,
        "published": PUBLISHED,
        "rows": rows,
    }
    show(out / f"faithfulness-{world}", report, head, cells, above)


def told(row: dict[str, Any], key: str, digits: int) -> str:
    """A figure and its standard error."""
    return f"{row[key]:.{digits}f} ± {row[key + ' s.e.']:.{digits}f}" if key in row else ""


def summary(method: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the pictures, their standard errors, and over how many pictures where some had to be left out."""
    mine = [record[method] for record in records]
    whole, seen = (torch.tensor([row[key] for row in mine], dtype=torch.float64) for key in ("whole", "seen"))
    each: dict[str, Any] = {
        "occlusion": [row["occlusion"] for row in mine],
        "drop": (100 * drops(whole, seen)).tolist(),
    }
    each["increase"] = (100.0 * (seen > whole)).tolist()
    if method != "gradcam":
        others = torch.tensor([record["gradcam"]["seen"] for record in records], dtype=torch.float64)
        each["win"] = [win(a[None], b[None]) for a, b in zip(seen, others, strict=True)]
    each |= {
        key: [row[key] for row in mine] for key in ("insertion", "deletion", "road", "sensitivity") if key in mine[0]
    }
    row: dict[str, Any] = {"method": method, "n": len(records)}
    for key, values in each.items():
        known = np.array(values, float)
        known = known[np.isfinite(known)]
        row[key] = float(known.mean())
        row[f"{key} s.e."] = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
        if len(known) < len(values):
            row[f"{key} n"] = len(known)
    return row


if __name__ == "__main__":
    typer.run(main)
