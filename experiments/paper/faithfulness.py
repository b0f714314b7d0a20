"""Do the maps show what the model goes by? Occlusion, drop and increase, insertion, deletion, ROAD, max-sensitivity.

For every method and two baselines, on test vignettes (the bundled classifier) and, where MMCAM_REAL_DATA is set, on
ILSVRC validation photographs (SqueezeNet, and EfficientNet-Lite0 as a world of its own). Explained is a class that the
model finds in the picture: on a vignette one of the kinds that are there and that it gives a probability above a half,
on a photograph the predicted one. On VOC07's val photographs, those of the Grad-CAM paper's section 5.3, with a network
that was finetuned on VOC, it is each class in turn that is there (one all of whose things are "difficult" is not),
whether the network finds it or not, and the probabilities are sigmoids, as several classes may be there.

    nice python -m experiments.paper.faithfulness                    # goes on where it was stopped
    MMCAM_REAL_DATA=… python -m experiments.paper.faithfulness --worlds photographs --pictures 30
    python -m experiments.paper.faithfulness --worlds voc --root VOCdevkit/VOC2007 --network vgg16=FILE
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from experiments.lib.baseline import BASELINES
from experiments.lib.faithful_figures import CURVES, SETTINGS, examine, summary
from experiments.lib.memory import keep_freed_memory
from experiments.lib.protocol import METHODS
from experiments.lib.records import checksum
from experiments.lib.sheets import keep_plot
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_count
from experiments.lib.worlds import PHOTOGRAPHS, WORLDS, annotated, bundled, of_voc, questions
from mmcam.evaluation import mean

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
    for world in worlds or ["vignettes", *(PHOTOGRAPHS if "MMCAM_REAL_DATA" in os.environ else ())]:
        if world == "voc":
            if root is None or network is None:
                raise typer.BadParameter("VOC needs --root, as VOCdevkit/VOC2007, and --network NAME=FILE.")
            net = of_voc(network)
        else:
            net = bundled(world)
        count = pictures or WORLDS[world]
        asked = annotated(root, net, count) if root and world == "voc" else questions(world, net, count)
        read_as = world + "-stored" * (world in PHOTOGRAPHS)  # once the photographs were enlarged first
        path = work / f"{read_as}-{net.name}-{checksum(net.model)}.jsonl".replace(" ", "-")
        records = examine(asked, net, path, count)
        table(world, net.name, records, pictures, out / f"faithfulness-{world}")
        draw(records, (out / f"faithfulness-{world}").with_suffix(".png"))


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
            line += [with_count(row.get(key), digits), known.get(key, "")]
        cells.append(line + [with_count(row.get(key), 3) for key in (*CURVES, "sensitivity")])
    command = f"python -m experiments.paper.faithfulness --worlds {world}" + (f" --pictures {limit}" if limit else "")
    command += f" --root … --network {name}=…" * (world == "voc")
    before = "MMCAM_REAL_DATA=… " if world in PHOTOGRAPHS else ""
    ilsvrc = f"ILSVRC validation photographs, {name}, softmax probabilities, the predicted class"
    shown = {
        "vignettes": f"test vignettes, {name}, sigmoid probabilities, a kind that is there and found in each",
        **dict.fromkeys(PHOTOGRAPHS, ilsvrc),
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
    keep_plot(path, figure)


if __name__ == "__main__":
    typer.run(main)
