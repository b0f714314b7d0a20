"""Do boxes drawn from maps find the thing, and do maxima point at it? ILSVRC's localisation error, the pointing game.

For each of the five surest classes of a picture: the map, cut at a share of its maximum (the Grad-CAM paper's 15 %),
and the box of the largest connected segment. The error is ILSVRC's: one of the first k boxes has the right class and an
IoU of at least .5 with a box of it, in the pixels of the original picture. The pointing game asks the same maps, and
that of the true class, where their maximum lies; the modified game may reject maps that are faint. Boxes and maxima go
into runs/localisation, a line a picture and method, and a run that was stopped goes on there.

    python -m experiments.paper.localisation --data real --root $MMCAM_REAL_DATA
    python -m experiments.paper.localisation --data vignettes --limit 200
    python -m experiments.paper.localisation --data ilsvrc --root DIR --network vgg16=FILE
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

import mmcam
from experiments.lib.boxes import (
    GRABCUT,
    PAPERS_METHODS,
    SHARES,
    SMOOTHING,
    WHOLE,
    examine,
    nets_of,
    path_of,
    subjects,
)  # fmt: skip
from experiments.lib.located import PAPERS, SMALL, figures
from experiments.lib.maxima import TOLERANCE
from experiments.lib.memory import keep_freed_memory
from experiments.lib.modified_game import RESAMPLES, SEED
from experiments.lib.photographs import counted
from experiments.lib.records import read
from experiments.lib.sheets import keep_plot
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error

SLOW: Final = (
    *(name for name, method in mmcam.METHODS.items() if method.family == "perturbation"),
    "integrated_gradients",
    "smoothgrad",
)
"""Methods that take up to a thousand forwards for a picture."""
OTHERS: Final = (
    GRABCUT,
    *(name for name in mmcam.METHODS if name not in (*PAPERS_METHODS, *SLOW, "attention")),
)
"""The rest of the methods that are not the papers'."""

PUBLISHED: Final = (
    # net, method, classification error top-1, top-5, localisation error top-1, top-5; ~ as remembered, not re-read
    ("VGG-16", "backprop", "~30.38", "~10.89", "~61.12", "~51.46"),
    ("VGG-16", "c-MWP", "~30.38", "~10.89", "~70.92", "~63.04"),
    ("VGG-16", "Grad-CAM", "30.38", "10.89", "56.51", "46.41"),
    ("VGG-16-GAP", "CAM", "~33.40", "~12.20", "57.20", "~45.14"),
    ("AlexNet", "c-MWP", "~44.2", "~20.8", "~92.6", "~89.2"),
    ("AlexNet", "Grad-CAM", "44.2", "20.8", "68.3", "56.6"),
    ("GoogLeNet", "Grad-CAM", "31.9", "11.3", "60.09", "49.34"),
    ("GoogLeNet", "CAM", "~31.9", "~11.3", "~60.09", "~49.34"),
)
"""On the whole ILSVRC validation set."""
PUBLISHED_POINTING: Final = (
    "Published, modified game, all predictions, VGG-16 on COCO: Grad-CAM 70.58, c-MWP 60.30.",
    "Published, game with 15 pixels of tolerance, mean over classes (all/difficult), VOC07 test, VGG-16: Grad-CAM "
    "86.6/74.0, c-MWP 79.9/66.5, guided backprop 75.9/53.0, gradient 76.3/56.9, centre 69.6/42.4; ResNet-50: Grad-CAM "
    "90.4/82.3, c-MWP 90.7/82.1.",
)

Data = Literal["real", "ilsvrc", "vignettes"]


def main(
    data: Annotated[str, typer.Option(help="real, ilsvrc or vignettes.")] = "real",
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures; vignettes: default 200.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help=f"Default {', '.join(PAPERS_METHODS)}.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="More methods for all pictures, slow ones, too.")] = None,
    others: Annotated[int, typer.Option(help=f"Pictures for these, too: {', '.join(OTHERS)}.")] = 0,
    slow: Annotated[int, typer.Option(help=f"Pictures for these, too, which are slow: {', '.join(SLOW)}.")] = 0,
    network: Annotated[
        list[str] | None, typer.Option(help="torchvision's NAME=FILE of a state dict, in place of those at hand.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/localisation"),
) -> None:
    """Measure, and write localisation-DATA.json and .md."""
    keep_freed_memory()
    if data not in TOLERANCE:
        raise typer.BadParameter(f"There is no data {data!r}; choose one of {', '.join(TOLERANCE)}.")
    if data != "vignettes" and root is None:
        raise typer.BadParameter("--root names the folder of the photographs, or set MMCAM_REAL_DATA.")
    if data == "vignettes":
        limit = limit or 200
    if 1 in (limit, others, slow):
        raise typer.BadParameter("Half of the pictures choose for the other half; pass at least 2.")
    nets = nets_of(data, root, network or ())
    counts = dict.fromkeys((*(methods or PAPERS_METHODS), WHOLE), limit)
    for group, number in ((OTHERS, others), (SLOW, slow)):
        counts |= dict.fromkeys(group if number else (), number)
    counts |= dict.fromkeys(also or (), limit)
    seen = list(subjects(data, root, limit))
    unfit = {}
    for net in nets:
        for count in dict.fromkeys(counts.values()):
            chosen = [method for method in counts if counts[method] == count]
            left = examine(net, seen[:count], chosen, work, data)
            unfit.update({(net.name, method): sentence for method, sentence in left.items()})
    rows = []
    for net in nets:
        for method, count in counts.items():
            names = {subject.name for subject in seen[:count]}
            records = [r for r in read(path_of(work, data, net, method)) if r["picture"] in names]
            if (net.name, method) not in unfit:
                rows.append({"network": net.name, "method": method, **figures(records, TOLERANCE[data])})
    command = f"python -m experiments.paper.localisation --data {data}"
    command += " --root …" * (data == "ilsvrc") + (f" --limit {limit}" if limit else "")
    command += "".join(f" --methods {name}" for name in methods or ()) + "".join(
        f" --also {name}" for name in also or ()
    )
    command += "".join(f" --{name} {number}" for name, number in (("others", others), ("slow", slow)) if number)
    command += "".join(f" --network {name.partition('=')[0]}=…" for name in network or ())
    report = {
        **stamp("MMCAM_REAL_DATA=… " * (data == "real") + command, pictures=len(seen), seed=SEED),
        "share of the maximum": PAPERS,
        "tolerance": TOLERANCE[data],
        "of": counted(len(seen), root) if data == "real" and root else str(len(seen)),
        "smoothing of pixel maps": SMOOTHING,
        "left out": [{"network": net, "method": method, "why": why} for (net, method), why in unfit.items()],
        "rows": rows,
    }
    table(report, data, out / f"localisation-{data}")
    draw(rows, data, out / f"localisation-{data}.png")


def table(report: dict[str, Any], data: str, path: Path) -> None:
    """Print the table with the published figures in it, and write it as JSON and Markdown."""
    head = (
        "network", "method", "n", "cls error top-1", "top-5", "loc error top-1 ± s.e.", "top-5 ± s.e.",
        "top-1, own share", "pointing %", "small %", "modified %", "balanced %",
    )  # fmt: skip
    cells = []
    for row in report["rows"]:
        kinds = [f"{100 * row[f'classification top-{k}']['value']:.1f}" for k in (1, 5)]
        boxes = [with_error(row[f"localisation top-{k}"], 100) for k in (1, 5)]
        own = row["own share"]
        boxes.append(f"{with_error(own, 100)} ({'/'.join(f'{cut:g}' for cut in own['shares'])})")
        games = [with_error(row[name], 100, bounds=0) for name in GAMES]
        cells.append([row["network"], row["method"], str(row["pictures"]), *kinds, *boxes, *games])
    if data != "vignettes":
        for name, method, *published in PUBLISHED:
            start = [f"published: {name}", method, "50000", *published]
            cells.append([*start, *[""] * (len(head) - len(start))])
    left = [f"{each['network']}, {each['method']}: {each['why']}" for each in report["left out"]]
    below = ["", f"![Error by share of the maximum](localisation-{data}.png)", ""]
    below += [f"{line}\n" for line in (*PUBLISHED_POINTING, *(f"Left out: {why}" for why in left))]
    show(path, report, head, cells, [f"`{report['command']}`", "", legend(report, data)], below)


def draw(rows: list[dict[str, Any]], data: str, path: Path) -> None:
    """The error against the share of the maximum at which maps are cut, a panel a network and a curve a method."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(5 * len(names) + 2.2, 4.6), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    curves = [row["method"] for row in rows if row["network"] == names[0] and row["method"] in PAPERS_METHODS]
    for panel, name in zip(panels, names, strict=True):
        own = {row["method"]: row["by share"] for row in rows if row["network"] == name}
        for i, method in enumerate(curves):
            points = [own[method][str(cut)] for cut in SHARES]
            error = [100 * point["value"] for point in points]
            spreads = [100 * point["standard_error"] for point in points]
            # Thinner from one to the next, so that curves that are the same are all seen: CAMs above a global average.
            style = {"color": f"C{i}", "marker": "o", "markersize": 4, "capsize": 2, "elinewidth": 1.2}
            style |= {"linewidth": max(1.6, 6 - 1.4 * i)}
            panel.errorbar(SHARES, error, spreads, label=method, linestyle="-" if i < 4 else "--", **style)
        for method, dashes in ((WHOLE, ":"), (GRABCUT, "-.")):
            if method in own:
                level = 100 * own[method][str(PAPERS)]["value"]
                panel.axhline(level, color="0.45", linestyle=dashes, linewidth=1.2, label=method)
        panel.axvline(PAPERS, color="0.85", linewidth=6, zorder=0)
        panel.set_xticks(SHARES, [f"{cut:.0%}" for cut in SHARES])
        panel.set_title(name)
        panel.set_xlabel("box at this share of the map's maximum (grey: the papers')")
    panels[0].set_ylabel("localisation error top-1, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    keep_plot(path, figure)


GAMES: Final = ("pointing", "pointing small", "modified", "modified balanced")


def legend(report: dict[str, Any], data: str) -> str:
    """What the columns mean."""
    what = {
        "real": f"{report['of']} ILSVRC validation photographs, stored squashed to 227×227, boxes and maxima in the "
        "original's pixels: easier than the whole set that the published figures are of, and other networks. "
        "MobileNetV2 sees the centre crop, the others the squashed whole.",
        "ilsvrc": f"{report['pictures']} ILSVRC validation photographs.",
        "vignettes": f"{report['pictures']} test vignettes; the boxes are those of what is visible of each thing, the "
        "five surest are kinds of things, and a picture shows several.",
    }[data]
    return (
        f"{what} Classification and localisation errors in percent; boxes at {PAPERS:.0%} of the maximum, blacklisted "
        "pictures left out of localisation only. Own share: each half of the pictures is cut at the share of "
        f"{', '.join(f'{cut:g}' for cut in SHARES)} that is best for the other half. Pixel methods (gradient and "
        f"guided ones): largest magnitude over the channels, blurred with σ = {SMOOTHING:.0%} of the input's side; the "
        "gradient's box is that of the same cut; GrabCut's is Simonyan's, the papers' backprop. Pointing: maximum of "
        f"the map of the true class in a box of it, tolerance {report['tolerance']} pixels, mean over classes; small: "
        "classes whose boxes "
        f"cover less than {SMALL:.0%} of the picture. Modified: the maps of the five surest classes, of which faint "
        "ones are rejected; the threshold for each half is the best of the other half; rejecting an absent class is a "
        "hit. Balanced: mean of the accuracies on present and on absent classes, 50 for rejecting everything. In "
        f"brackets 95% intervals, {RESAMPLES} resamplings of the pictures, seed {SEED}."
    )


if __name__ == "__main__":
    typer.run(main)
