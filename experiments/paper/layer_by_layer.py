"""One answer, explained at every convolution: the Grad-CAM paper's figure of ResNet-based co-attention, layer by layer.

The paper saw small changes between neighbouring layers and large ones where the resolution drops. The figure shows one
question; the table the rank correlation of the maps of neighbouring layers, over many.

    python -m experiments.paper.layer_by_layer
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from rich.progress import track
from torch import nn

import mmcam
import models
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation import mean
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.pointing import inside


def main(
    model: str = "vignette-hiecoatt-parallel",
    pictures: int = 100,
    split: str = "test",
    shown: Annotated[int, typer.Option(help="Which picture of the split is drawn.")] = 4,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("experiments/results"),
) -> None:
    """Write layers-MODEL.json, .md and .webp."""
    vqa = models.load(model)
    layers = [f"features.{i}" for i, module in enumerate(vqa.convolutions) if isinstance(module, nn.ReLU)]
    sides = sides_of(vqa, layers)
    drawn = vignettes.draw(vignettes.seed(split, shown))
    question = asked(drawn)
    if question is None:
        raise typer.BadParameter(f"Picture {shown} has no question for a colour or a kind; draw another with --shown.")
    rows = measured(vqa, layers, sides, pictures, split)
    command = f"python -m experiments.paper.layer_by_layer --model {model} --pictures {pictures} --split {split}"
    command += f" --shown {shown}"
    answer = mmcam.explain_answer(vqa, drawn.image, question.text).target
    path = out / f"layers-{model.removeprefix('vignette-')}"
    table(rows, f"“{question.text}?” – “{answer}”", stamp(command, pictures=pictures), path)
    keep_sheet(path.with_suffix(".webp"), draw(vqa, drawn, layers, sides))


def measured(model: Any, layers: list[str], sides: dict[str, int], pictures: int, split: str) -> list[dict[str, Any]]:
    """Rows of the table, a layer each: pointing, and the agreement with the layer before."""
    same: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for i in track(range(pictures), "pictures"):
        scene = vignettes.draw(vignettes.seed(split, i))
        question = asked(scene)
        if question is None:
            continue
        maps = {layer: mmcam.explain_answer(model, scene.image, question.text, layer=layer) for layer in layers}
        if maps[layers[-1]].target != question.answer:
            continue
        mask = scene.mask(question.things)
        for layer, exp in maps.items():
            hits[layer].append(inside(exp.peak(), mask))
        for first, second in pairwise(layers):
            size = (min(sides[first], sides[second]),) * 2
            same[first, second].append(rank_correlation(maps[first].cam, maps[second].cam, size))
    return [row_of(layer, before, sides, same, hits) for before, layer in zip((None, *layers), layers, strict=False)]


def table(rows: list[dict[str, Any]], drawn: str, stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table; below it stands the picture of the question and answer `drawn`."""
    head = ("layer", "resolution", "questions", "pointing %", "n", "rank correlation with the layer before")
    cells = []
    for row in rows:
        hit, same_as = row["pointing"], row.get("correlation")
        line = [row["layer"], f"{row['side']}×{row['side']}", str(hit["n"])]
        line.append(with_error(hit, 100))
        line += [str(same_as["n"]), with_error(same_as, digits=2)] if same_as else ["", ""]
        cells.append(line)
    below = [
        "",
        "Questions for a colour or a kind that are answered rightly, one a picture. ±: standard error; n: how many "
        "maps are empty at neither layer.",
        "",
        f"{drawn}: ![Grad-CAM at every layer, and the model's own attention]({path.name}.webp)",
    ]
    show(path, {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def asked(scene: vignettes.Vignette) -> vignettes.Question | None:
    """The first question for a colour or a kind, which is about one thing."""
    return next((q for q in scene.questions if q.things and q.type in ("colour", "kind")), None)


def sides_of(model: Any, layers: list[str]) -> dict[str, int]:
    """The side of every layer's map, in cells."""
    sides, x = {}, torch.zeros(1, 3, *model.preprocess.size)
    with torch.no_grad():
        for i, module in enumerate(model.convolutions):
            x = module(x)
            if f"features.{i}" in layers:
                sides[f"features.{i}"] = x.shape[-1]
    return sides


def row_of(
    layer: str,
    before: str | None,
    sides: dict[str, int],
    same: dict[tuple[str, str], list[float]],
    hits: dict[str, list[bool]],
) -> dict[str, Any]:
    """Pointing of one layer and its agreement with the one before."""
    row: dict[str, Any] = {"layer": layer, "side": sides[layer], "pointing": vars(mean(hits[layer]))}
    if before is not None:
        row["correlation"] = vars(mean(same[before, layer]))
    return row


def draw(model: Any, scene: vignettes.Vignette, layers: list[str], sides: dict[str, int]) -> Image.Image:
    """The first question for a colour or a kind, at every layer and by the model's own attention at every level."""
    question = asked(scene)
    assert question is not None
    panels, notes = [(scene.image, "")], [""]
    for layer in layers:
        exp = mmcam.explain_answer(model, scene.image, question.text, layer=layer)
        panels.append((exp.overlay(), layer))
        notes.append(f"{sides[layer]} x {sides[layer]}")
    x = model.preprocess(scene.image)[0][None]
    for level in model.attention(x, [question.text]):
        exp = mmcam.explain_answer(model, scene.image, question.text, method="attention", level=level)
        panels.append((exp.overlay(), f"attention: {level}"))
        notes.append("")
    return draw_strip(panels, notes, columns=7, side=180)


if __name__ == "__main__":
    typer.run(main)
