"""Do the maps depend on what the model has learnt? Randomised layers (Adebayo et al., arXiv 1810.03292, section 3).

The layers of a network are re-initialised one after the other from the classifier down, or one at a time, and after
each the maps of the classes that were explained before are compared with those of the trained network. A method whose
curve stays high shows the picture rather than the model. The paper's other test, a model trained on random labels, is
`experiments.train.random_labels`.

    nice python -m experiments.checks.sanity_checks                 # half an hour; goes on where it was stopped
    nice python -m experiments.checks.sanity_checks --independent   # one layer at a time
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.progress import track

from experiments.lib.protocol import METHODS
from experiments.lib.sanity import compared, figures, maps, told
from experiments.lib.sheets import keep_plot
from experiments.lib.stamp import stamp
from experiments.lib.tables import keep, show
from experiments.lib.worlds import PHOTOGRAPHS, bundled, questions
from mmcam.evaluation.sanity import randomised
from mmcam.places.find import find_layer

WORLDS: Final = {"vignettes": "vignette-classifier", **PHOTOGRAPHS}
KEYS: Final = {"rank": "rank", "ssim": "SSIM"}
STAGES: Final = {
    False: ("1 layer", "a quarter", "half", "all layers"),
    True: ("the top layer", "a quarter down", "half down", "the lowest"),
}
"""How far randomisation has come, by whether one layer is randomised at a time."""
LEGEND: Final = (
    "Rank: Spearman's correlation of the maps, pixel by pixel, at the map's own resolution. SSIM: their structural "
    "similarity, each map enlarged to the picture bilinearly and divided by its largest magnitude (Wang et al. 2004, a "
    "Gaussian window of σ 1.5 over 11×11 pixels). Of a pixel map, the channel of the largest magnitude; its sign is "
    "left out of all columns but the last two, where signed maps fill −1..1. Mean over the pictures ± standard error. "
    "Another picture: the trained network's maps of a picture and of the next, which is what maps have in common that "
    "are about different things; SSIM is high wherever both maps are nearly even, so only what is above it counts. "
    "Lower is better; a map that comes out the same everywhere is left out, and (n) says "
    "how many pictures are left. SqueezeNet's class scores pass a ReLU, behind which a randomised one is often 0 and "
    "all its maps empty. The other test, label randomisation, is in sanity-labels.md."
)


def main(
    worlds: Annotated[
        list[str] | None, typer.Option(help="Default vignettes, and photographs if they are there.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=2)] = 16,
    independent: Annotated[bool, typer.Option(help="One layer at a time, all others as trained.")] = False,
    seed: Annotated[int, typer.Option(help="Of the new weights.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for curves that are finished.")] = Path("runs/sanity_checks"),
) -> None:
    """Measure, and write sanity.json, .md and .png, or sanity-independent."""
    chosen = worlds or [name for name in WORLDS if name == "vignettes" or "MMCAM_REAL_DATA" in os.environ]
    if unknown := [name for name in chosen if name not in WORLDS]:
        raise typer.BadParameter(f"There is no world {unknown[0]!r}; choose of {', '.join(WORLDS)}.")
    rows = []
    mode = "independent" if independent else "cascading"
    for world in chosen:
        for method in track(METHODS, world):
            read_as = world + "-stored" * (world in PHOTOGRAPHS)  # once the photographs were enlarged first
            done = work / f"{read_as}-{mode}-{pictures}-{seed}-{method}.json"
            if not done.exists():
                keep(done, json.dumps(curve(world, method, pictures, seed, independent)))
            rows.append(json.loads(done.read_text()))
    command = f"python -m experiments.checks.sanity_checks --pictures {pictures} --seed {seed}"
    command += " --independent" * independent
    if PHOTOGRAPHS.keys() & set(chosen):
        command = "MMCAM_REAL_DATA=… " + command
    path = out / ("sanity-independent" if independent else "sanity")
    table(rows, stamp(command, pictures=pictures, seed=seed), path, independent)
    draw(rows, path.with_suffix(".png"), independent)


def curve(world: str, method: str, pictures: int, seed: int, independent: bool) -> dict[str, Any]:
    """What becomes of one method's maps as layers are randomised: `compared`, (layers, pictures)."""
    net = bundled(world)
    asked, model = list(questions(world, net, pictures)), net.model
    x = torch.stack([one.picture for one in asked])
    target = torch.tensor([one.labels[0] for one in asked])
    size = (x.shape[-2], x.shape[-1])
    layer = find_layer(model, model, x[:1])
    before = maps(model, x, target, layer, method)
    other = [compared(before[n], before[(n + 1) % len(before)], size) for n in range(len(before))]
    names, values = [], []
    with randomised(model, cascade=not independent, seed=seed) as steps:
        for name in steps:
            after = maps(model, x, target, layer, method)
            names.append(name)
            values.append([compared(a, b, size) for a, b in zip(before, after, strict=True)])
    signed = bool((before < 0).any())
    return {
        "world": world, "method": method, "layer": layer, "signed": signed,
        "other": other, "names": names, "values": values,
    }  # fmt: skip


def table(rows: list[dict[str, Any]], stamped: dict[str, Any], path: Path, independent: bool) -> None:
    """Similarity after the first layer, a quarter, half and all of them."""
    stages = STAGES[independent]
    head = ["network", "method", "pictures"]
    for name in KEYS.values():
        head += [*(f"{name}: {stage}" for stage in stages), f"{name}: another picture"]
    head += [f"{name}, signed: {stages[-1]}" for name in KEYS.values()]
    cells, kept = [], []
    for row in rows:
        last = len(row["names"])
        counts = [1, max(1, round(last / 4)), max(1, round(last / 2)), last]
        curves = [figures(values) for values in row["values"]]
        other = figures(row["other"])
        line = [WORLDS[row["world"]], row["method"], str(len(row["other"]))]
        for key in KEYS:
            line += [*(told(curves[number - 1][key]) for number in counts), told(other[key])]
        line += [told(curves[-1][f"{key}, signed"]) if row["signed"] else "" for key in KEYS]
        cells.append(line)
        kept.append({key: row[key] for key in ("world", "method", "layer", "signed", "names")})
        for key in other:
            points = [curve[key] for curve in curves]
            kept[-1][key] = {
                "mean": [p.value for p in points],
                "s.e.": [p.standard_error for p in points],
                "n": [p.n for p in points],
                "another picture": vars(other[key]),
            }
    layers = ", ".join(f"{WORLDS[row['world']]} {len(row['names'])}" for row in rows[:: len(METHODS)])
    how = "each by itself, the others as trained" if independent else "the first from the top down"
    above = [f"`{stamped['command']}`. Layers with weights: {layers}; re-initialised: {how}.", "", LEGEND]
    below = ["", f"![Similarity of the maps as layers are randomised]({path.name}.png)"]
    show(path, {**stamped, "rows": kept}, head, cells, above, below)


def draw(rows: list[dict[str, Any]], path: Path, independent: bool) -> None:
    """A column a network, a row a similarity, one curve a method, randomisation going on to the right."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(6.2 * len(worlds) + 1.4, 8.4), layout="constrained")
    axes = figure.subplots(2, len(worlds), sharey="row", sharex="col", squeeze=False)
    before = [] if independent else ["trained"]
    for column, world in enumerate(worlds):
        mine = [row for row in rows if row["world"] == world]
        for key, panel in zip(KEYS, axes[:, column], strict=True):
            for i, row in enumerate(mine):
                points = [figures(values)[key] for values in row["values"]]
                means = np.array([1.0] * len(before) + [p.value for p in points])
                errors = np.array([0.0] * len(before) + [p.standard_error for p in points])
                style = "-" if i < 4 else "--"
                panel.plot(means, style, color=f"C{i}", marker="o", markersize=3, label=row["method"])
                panel.fill_between(range(len(means)), means - errors, means + errors, color=f"C{i}", alpha=0.12, lw=0)
            panel.axhline(0, color="0.6", lw=0.8)
        axes[0, column].set_title(WORLDS[world])
        names = [*before, *(name.removeprefix("encoder.") for name in mine[0]["names"])]
        axes[1, column].set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes[1, column].set_xlabel(
            f"layers randomised, {'this one alone' if independent else 'from the top down to it'}"
        )
    axes[0, 0].set_ylabel("rank correlation with the trained network's map")
    axes[1, 0].set_ylabel("structural similarity to it")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    keep_plot(path, figure)


if __name__ == "__main__":
    typer.run(main)
