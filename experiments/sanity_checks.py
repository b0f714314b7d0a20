"""Do the maps depend on what the model has learnt? Cascading randomisation (Adebayo et al., arXiv 1810.03292).

The layers of a network are re-initialised one after the other from the classifier down, and after each the maps of the
classes that were explained before are compared with those of the trained network. A method whose curve stays high shows
the picture rather than the model. The paper's other test, a model trained on random labels, is left out: it takes a
training run a network.

    nice python -m experiments.sanity_checks          # a few minutes; goes on where it was stopped
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
from torch import Tensor, nn

import mmcam
from experiments.faithfulness import METHODS, network, questions
from experiments.method_table import versions
from experiments.tables import keep, show
from mmcam.evaluation.sanity import randomised, similarity
from mmcam.explanation import write_whole
from mmcam.layers import find_layer

WORLDS: Final = {"vignettes": "vignette-classifier", "photographs": "SqueezeNet 1.0"}
LEGEND: Final = (
    "Spearman's rank correlation of the maps of the trained network with those after so many layers, from the "
    "classifier down, were re-initialised; of a pixel map, the largest magnitude over the channels, pixel by pixel. "
    "Mean over the pictures ± standard error. Another picture: the correlation with the trained network's map of the "
    "next picture, which is what maps have in common that are about different things. Lower is better; a map that "
    "comes out the same everywhere has no ranks and is left out (n: how many pictures are left at the last layer). "
    "SqueezeNet's class scores pass a ReLU, behind which a randomised one is often 0 and all its maps empty. "
    "Left out: label randomisation, which takes training, and the structural similarity, for which there is no library "
    "here."
)


def main(
    worlds: Annotated[
        list[str] | None, typer.Option(help="Default vignettes, and photographs if they are there.")
    ] = None,
    pictures: int = 16,
    seed: Annotated[int, typer.Option(help="Of the new weights.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for curves that are finished.")] = Path("runs/sanity_checks"),
) -> None:
    """Measure, and write sanity.json, .md and .png."""
    chosen = worlds or [name for name in WORLDS if name == "vignettes" or "MMCAM_REAL_DATA" in os.environ]
    rows = []
    for world in chosen:
        for method in track(METHODS, world):
            done = work / f"{world}-{pictures}-{seed}-{method}.json"
            if not done.exists():
                keep(done, json.dumps(curve(world, method, pictures, seed)))
            rows.append(json.loads(done.read_text()))
    command = f"python -m experiments.sanity_checks --pictures {pictures} --seed {seed}"
    if "photographs" in chosen:
        command = "MMCAM_REAL_DATA=… " + command
    table(rows, command, out)
    draw(rows, out / "sanity.png")


def curve(world: str, method: str, pictures: int, seed: int) -> dict[str, Any]:
    """The similarity of one method's maps, (layers, pictures), as layer after layer is randomised."""
    model, _ = network(world)
    asked = list(questions(world, model, pictures))
    x = torch.stack([one.picture for one in asked])
    target = torch.tensor([one.label for one in asked])
    layer = find_layer(model, model, x[:1])
    before = maps(model, x, target, layer, method)
    other = [similarity(before[n], before[(n + 1) % len(before)]) for n in range(len(before))]
    names, values = [], []
    with randomised(model, seed=seed) as steps:
        for name in steps:
            after = maps(model, x, target, layer, method)
            names.append(name)
            values.append([similarity(a, b) for a, b in zip(before, after, strict=True)])
    return {"world": world, "method": method, "layer": layer, "other": other, "names": names, "values": values}


def maps(model: nn.Module, x: Tensor, target: Tensor, layer: str, method: str) -> Tensor:
    """(N,h,w), of a pixel method the largest magnitude over the channels."""
    made = mmcam.attribute(model, x, [target], layer=layer, method=method)[0]
    return made if made.ndim == 3 else made.abs().amax(1)


def mean_of(values: list[float]) -> tuple[float, float, int]:
    """Mean, standard error and number of the figures that are defined."""
    known = np.array(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return float("nan"), float("nan"), 0
    spread = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return float(known.mean()), spread, len(known)


def table(rows: list[dict[str, Any]], command: str, out: Path) -> None:
    """Similarity after the first layer, a quarter, half and all of them."""
    head = ["network", "method", "pictures", "1 layer", "a quarter", "half", "all layers", "n", "another picture"]
    cells, kept = [], []
    for row in rows:
        last = len(row["names"])
        counts = [1, max(1, round(last / 4)), max(1, round(last / 2)), last]
        points = [mean_of(row["values"][count - 1]) for count in counts]
        told = [f"{mean:.2f} ± {error:.2f}" for mean, error, _ in points]
        told += [str(points[-1][2]), f"{mean_of(row['other'])[0]:.2f}"]
        cells.append([WORLDS[row["world"]], row["method"], str(len(row["other"])), *told])
        curves = [mean_of(values) for values in row["values"]]
        kept.append(
            {key: row[key] for key in ("world", "method", "layer", "names")}
            | {"mean": [m for m, _, _ in curves], "s.e.": [e for _, e, _ in curves], "n": [n for _, _, n in curves]}
            | {"another picture": mean_of(row["other"])[0]}
        )
    made = ", ".join(f"{name} {value}" for name, value in versions().items())
    layers = ", ".join(f"{WORLDS[row['world']]} {len(row['names'])}" for row in rows[:: len(METHODS)])
    above = [f"`{command}`: {made}. Layers with weights: {layers}.", "", LEGEND]
    below = ["", "![Similarity of the maps as layers are randomised from the top down](sanity.png)"]
    report = {"command": command, "versions": versions(), "rows": kept}
    show(out / "sanity", report, head, cells, above, below)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel a network, one curve a method, randomisation going on to the right."""
    from matplotlib.figure import Figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(6.2 * len(worlds) + 1.4, 5.2), layout="constrained")
    axes = figure.subplots(1, len(worlds), sharey=True, squeeze=False)[0]
    for panel, world in zip(axes, worlds, strict=True):
        mine = [row for row in rows if row["world"] == world]
        for i, row in enumerate(mine):
            points = [mean_of(values) for values in row["values"]]
            means, errors = (
                np.array([1.0 if first else 0.0] + [p[k] for p in points]) for k, first in ((0, 1), (1, 0))
            )
            style = "-" if i < 4 else "--"
            panel.plot(means, style, color=f"C{i}", marker="o", markersize=3, label=row["method"])
            panel.fill_between(range(len(means)), means - errors, means + errors, color=f"C{i}", alpha=0.12, lw=0)
        panel.axhline(0, color="0.6", lw=0.8)
        panel.set_title(WORLDS[world])
        names = ["trained", *(name.removeprefix("encoder.") for name in mine[0]["names"])]
        panel.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        panel.set_xlabel("layers randomised, from the top down to this one")
    axes[0].set_ylabel("rank correlation with the trained network's map")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))


if __name__ == "__main__":
    typer.run(main)
