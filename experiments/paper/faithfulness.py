"""Do the maps show what the model goes by? Occlusion, drop and increase, insertion, deletion, ROAD, max-sensitivity.

For every method and two baselines, on test vignettes (the bundled classifier) and, where MMCAM_REAL_DATA is set, on
ILSVRC validation photographs (SqueezeNet). Explained is a class that the model finds in the picture: on a vignette one
of the kinds that are there and that it gives a probability above a half, on a photograph the predicted one. On VOC07's
val photographs, those of the Grad-CAM paper's section 5.3, with a network that was finetuned on VOC, it is each class
in turn that is there (one all of whose things are "difficult" is not), whether the network finds it or not, and the
probabilities are sigmoids, as several classes may be there.

    nice python -m experiments.paper.faithfulness                    # goes on where it was stopped
    MMCAM_REAL_DATA=… python -m experiments.paper.faithfulness --worlds photographs --pictures 30
    python -m experiments.paper.faithfulness --worlds voc --root VOCdevkit/VOC2007 --network vgg16=FILE
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.baseline import BASELINES, baseline
from experiments.lib.given_network import finetuned
from experiments.lib.memory import keep_freed_memory
from experiments.lib.protocol import METHODS, SQUARES
from experiments.lib.records import add, checksum, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from experiments.lib.worlds import WORLDS, Asked, Net, bundled, questions
from mmcam.datasets import voc
from mmcam.datasets.concepts.voc import CLASSES as VOC_CLASSES
from mmcam.evaluation import Mean, mean
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.deletion import Curve, deletion, insertion, road
from mmcam.evaluation.drop import drops, seen_through, win
from mmcam.evaluation.sensitivity import max_sensitivity
from mmcam.files import write_whole

CURVES: Final = ("insertion", "deletion", "road")
ROWS: Final = 4
"""Pictures scored at a time: more no longer fit a core's cache, and each then takes up to twice as long."""

SETTINGS: Final[dict[str, Any]] = {
    "steps": 14,
    "shares": [0.1, 0.3, 0.5, 0.7, 0.9],
    "radius": 0.02,
    "samples": 5,
    **SQUARES,
}
LEGEND: Final = (
    "Occlusion: Spearman's rank correlation of the map with that of squares of 32 pixels, stride 16, covered with the "
    "mean colour, both brought to 14×14 (Grad-CAM, section 5.3). Drop, increase and win (against Grad-CAM): of the "
    "class's probability when the picture is multiplied by its map, in the model's input, so that 0 is the mean colour "
    "(Grad-CAM++, section 4.1). Insertion (from the blurred picture) and deletion (to the mean colour): area under "
    f"the probability in {SETTINGS['steps']} steps (RISE, section 4.1). ROAD: mean probability with 10, 30, 50, 70 and "
    "90 % of the pixels imputed, most relevant first. Sensitivity: max ‖Φ(y) − Φ(x)‖/‖Φ(x)‖ over "
    f"{SETTINGS['samples']} noisy pictures, {SETTINGS['radius']} in units of the model's input; of the baselines, "
    "which do not look at the picture, it is 0 and left out. ↑ higher is better, ↓ lower. ±: standard error, "
    "maps of one picture counting as one source of error. A pixel map counts by the largest magnitude over its "
    "channels, a layer's map is enlarged bilinearly. Maps of which a figure is undefined (an empty one has no ranks) "
    "are left out of it; (n) says how many are left."
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
    "~ is remembered and was not read again."
)

Explain = Callable[[Tensor], Tensor]


def main(
    worlds: Annotated[
        list[str] | None, typer.Option(help="Default vignettes, and photographs if they are there.")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Of each world; default 40 vignettes, 30 photographs, all of VOC.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="VOC's folder of a year, as VOCdevkit/VOC2007.")] = None,
    network: Annotated[
        str | None, typer.Option(help="For VOC: torchvision's NAME=FILE, a state dict with 20 outputs.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/faithfulness"),
) -> None:
    """Measure, and write faithfulness-WORLD.json, .md and .png."""
    keep_freed_memory()
    for world in worlds or [name for name in WORLDS if name == "vignettes" or "MMCAM_REAL_DATA" in os.environ]:
        if world == "voc":
            if root is None or network is None:
                raise typer.BadParameter("VOC needs --root, as VOCdevkit/VOC2007, and --network NAME=FILE.")
            net = of_voc(network)
        else:
            net = bundled(world)
        count = pictures or WORLDS[world]
        asked = annotated(root, net, count) if root and world == "voc" else questions(world, net, count)
        records = examine(asked, net, work / f"{world}-{net.name}-{checksum(net.model)}.jsonl".replace(" ", "-"), count)
        table(world, net.name, records, pictures, out / f"faithfulness-{world}")
        draw(records, (out / f"faithfulness-{world}").with_suffix(".png"))


def of_voc(text: str) -> Net:
    """A network that was finetuned to VOC's classes, from NAME=FILE."""
    name, model, preprocess, outputs = finetuned(text)
    if outputs != len(VOC_CLASSES):
        raise typer.BadParameter(
            f"{text} has {outputs} outputs; finetune the network to VOC's {len(VOC_CLASSES)} classes."
        )
    return Net(name, model.to(memory_format=torch.channels_last), preprocess, torch.sigmoid)


def annotated(root: Path, net: Net, count: int | None) -> Iterator[Asked]:
    """VOC's val photographs with every class that is there; one that shows only difficult things is left out."""
    try:
        for photo in islice((p for p in voc.detection(root, "val") if p.names()), count):
            x = net.preprocess(mmcam.load_image(photo.path))[0]
            yield Asked(photo.path.stem, x, tuple(VOC_CLASSES.index(name) for name in photo.names()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def examine(asked: Iterator[Asked], net: Net, path: Path, count: int | None) -> list[dict[str, Any]]:
    """The records of the pictures, one line each; those that are missing, or were made otherwise, are added."""
    settings = {**SETTINGS, "methods": list(METHODS)}
    done = {record["picture"]: record for record in read(path) if record["settings"] == settings}
    records = []
    for i, one in enumerate(track(asked, path.stem, total=count)):
        if one.name not in done:
            made = [judged(net, one.picture, label, i) for label in one.labels]
            done[one.name] = {
                "picture": one.name, "settings": settings, "labels": one.labels,
                "shares": made[0][1], "figures": [figures for figures, _ in made],
            }  # fmt: skip
            add(path, [done[one.name]])
        records.append(done[one.name])
    return records


def explain(model: nn.Module, method: str, label: int) -> Explain:
    """From pictures (M,C,H,W) to a method's maps (M,h,w), at their own resolution."""

    def maps(x: Tensor) -> Tensor:
        made = mmcam.attribute(model, x, [label], method=method)[0]
        return made if made.ndim == 3 else made.abs().amax(1)

    return maps


def judged(net: Net, picture: Tensor, label: int, i: int) -> tuple[dict[str, Any], dict[str, Sequence[float]]]:
    """All figures of one class of one picture, by method, its curves as scores; and the shares these are at."""
    s, model = SETTINGS, net.model
    size = (picture.shape[-2], picture.shape[-1])

    def score(x: Tensor) -> Tensor:
        return net.probability(model(x.contiguous(memory_format=torch.channels_last)))[:, label]

    covered = {"patch": s["patch"], "stride": s["stride"], "rows": ROWS}
    truth = mmcam.attribute(model, picture[None], [label], method="occlusion", **covered)[0, 0]
    figures: dict[str, Any] = {}
    shares: dict[str, Sequence[float]] = {}
    for method in (*METHODS, *BASELINES):
        seeing = method in METHODS
        cam = explain(model, method, label)(picture[None])[0] if seeing else baseline(method, size, i)
        heatmap = F.interpolate(cam[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        with torch.no_grad():
            whole, seen = score(torch.cat([picture[None], seen_through(picture[None], heatmap)])).tolist()
        figures[method] = {"occlusion": rank_correlation(cam, truth), "whole": whole, "seen": seen}
        curves = {
            "insertion": insertion(score, picture, heatmap, steps=s["steps"], rows=ROWS, seed=i),
            "deletion": deletion(score, picture, heatmap, steps=s["steps"], rows=ROWS, seed=i),
            "road": road(score, picture, heatmap, shares=s["shares"], rows=ROWS, seed=i),
        }
        for name, curve in curves.items():
            figures[method][name], shares[name] = [round(value, 7) for value in curve.scores], curve.shares
        if seeing:
            figures[method]["sensitivity"] = max_sensitivity(
                explain(model, method, label), picture, radius=s["radius"], samples=s["samples"], rows=ROWS, seed=i
            )
    return figures, shares


def table(world: str, name: str, records: list[dict[str, Any]], limit: int | None, path: Path) -> None:
    """The mean figures of every method, as a table."""
    rows = [summary(method, records) for method in (*METHODS, *BASELINES)]
    head = ["method", "maps", "occlusion ↑", "published", "drop % ↓", "published", "increase % ↑", "published"]
    head += ["win % ↑", "published", "insertion ↑", "deletion ↓", "ROAD ↓", "sensitivity ↓"]
    cells = []
    for method, row in zip((*METHODS, *BASELINES), rows, strict=True):
        known = PUBLISHED.get(method, {})
        line = [method, str(sum(len(record["labels"]) for record in records))]
        for key, digits in (("occlusion", 3), ("drop", 1), ("increase", 1), ("win", 1)):
            line += [told(row.get(key), digits), known.get(key, "")]
        cells.append(line + [told(row.get(key), 3) for key in (*CURVES, "sensitivity")])
    command = f"python -m experiments.paper.faithfulness --worlds {world}" + (f" --pictures {limit}" if limit else "")
    command += f" --root … --network {name}=…" * (world == "voc")
    before = "MMCAM_REAL_DATA=… " if world == "photographs" else ""
    shown = {
        "vignettes": f"test vignettes, {name}, sigmoid probabilities, a kind that is there and found in each",
        "photographs": f"ILSVRC validation photographs, {name}, softmax probabilities, the predicted class",
        "voc": f"VOC07 val photographs squashed to a square, {name} finetuned on VOC, sigmoid probabilities, each "
        "class that is there",
    }[world]
    ours = "Other pictures and" if world != "voc" else "The same photographs, maybe other"
    sources = f"{SOURCES} {ours} networks than ours: only the order can be compared."
    above = [f"`{before}{command}`: {len(records)} {shown}.", "", LEGEND, "", sources]
    report = {
        **stamp(before + command, pictures=len(records), seed=0),
        "settings": SETTINGS,
        "published": PUBLISHED,
        "rows": [
            {"method": method, **{key: vars(figure) for key, figure in row.items()}}
            for method, row in zip((*METHODS, *BASELINES), rows, strict=True)
        ],
    }
    below = ["", f"![Probability as pixels come or go in the order of each map]({path.name}.png)"]
    show(path, report, head, cells, above, below)


def told(figure: Mean | None, digits: int) -> str:
    """A figure, its standard error, and of how many maps it is where some had to be left out."""
    if figure is None:
        return ""
    return with_error(figure, digits=digits) + (f" ({figure.n})" if figure.undefined else "")


def summary(method: str, records: list[dict[str, Any]]) -> dict[str, Mean]:
    """Means over the maps with standard errors over the pictures."""
    maps = [(record, figures) for record in records for figures in record["figures"]]
    mine = [figures[method] for _, figures in maps]
    whole, seen = (torch.tensor([row[key] for row in mine], dtype=torch.float64) for key in ("whole", "seen"))
    each: dict[str, Any] = {
        "occlusion": [row["occlusion"] for row in mine],
        "drop": (100 * drops(whole, seen)).tolist(),
        "increase": (100.0 * (seen > whole)).tolist(),
    }
    if method != "gradcam":
        others = torch.tensor([figures["gradcam"]["seen"] for _, figures in maps], dtype=torch.float64)
        each["win"] = [win(a[None], b[None]) for a, b in zip(seen, others, strict=True)]
    for name in CURVES:
        curves = [Curve(tuple(r["shares"][name]), tuple(f[method][name])) for r, f in maps]
        each[name] = [curve.mean if name == "road" else curve.area for curve in curves]
    if "sensitivity" in mine[0]:
        each["sensitivity"] = [row["sensitivity"] for row in mine]
    pictures = [record["picture"] for record, _ in maps]
    return {key: mean(values, pictures) for key, values in each.items()}


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """The mean curve of every method ± its standard error, a panel each for insertion, deletion and ROAD."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.8), layout="constrained")
    axes = figure.subplots(1, len(CURVES), sharey=True)
    pictures = [record["picture"] for record in records for _ in record["figures"]]
    titles = ("insertion ↑: pixels shown", "deletion ↓: pixels covered", "ROAD ↓: pixels imputed")
    for name, title, panel in zip(CURVES, titles, axes, strict=True):
        shares = records[0]["shares"][name]
        for i, method in enumerate((*METHODS, *BASELINES)):
            scores = np.array([figures[method][name] for record in records for figures in record["figures"]])
            points = [mean(column, pictures) for column in scores.T]
            value, error = (np.array([getattr(p, key) for p in points]) for key in ("value", "standard_error"))
            panel.plot(shares, value, ":" if method in BASELINES else "-", color=f"C{i}", marker=".", label=method)
            panel.fill_between(shares, value - error, value + error, color=f"C{i}", alpha=0.12, lw=0)
        panel.set_xlabel(f"share of {title.partition(': ')[2]}, the map's highest first")
        panel.set_title(title.partition(":")[0])
    axes[0].set_ylabel("probability of the class")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))


if __name__ == "__main__":
    typer.run(main)
