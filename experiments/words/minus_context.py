"""Does it help to take off a word's map what the words before share with it, as TAM does?

For each test vignette and each captioner that comes with mmcam: the object words of the generated caption that are true
of the picture; a hit if the map's maximum lies on what the word names, without tolerance. Four maps: the method's own;
smoothed by the rank-Gaussian filter alone; less the context, without the filter; and both, which is
``minus_context=True``. An empty map is no hit.

    python -m experiments.words.minus_context
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track

import mmcam
import models
from experiments.lib.judging import KINDS
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.captions import check
from mmcam.evaluation import Mean, inside, mean
from mmcam.methods.token_maps import less_context, rank_gaussian

WAYS = ("own", "filtered", "less context", "minus_context")


def main(
    pictures: int = 100,
    split: str = "test",
    only: Annotated[list[str] | None, typer.Option(help="These captioners; default all bundled ones.")] = None,
    methods: Annotated[str, typer.Option(help="With commas between.")] = "gradcam,layercam",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write minus-context-SPLIT.json and .md."""
    rows = []
    for name in only or KINDS["caption"]:
        model = models.load(name)
        for method in methods.split(","):
            found = [
                record
                for i in track(range(pictures), f"{name} {method}")
                for record in judged(model, i, vignettes.draw(vignettes.seed(split, i)), method)
            ]
            rows.append({"model": name, "method": method, **summary(found)})
    command = f"python -m experiments.words.minus_context --pictures {pictures} --split {split} --methods {methods}"
    command += "".join(f" --only {name}" for name in only or ())
    report = {**stamp(command, pictures=pictures), "rows": rows}
    ways = [f"{way} %" for way in WAYS]
    head = ("model", "method", "words", *ways, "gain, points", "empty %", "nothing off %")
    cells = []
    for row in rows:
        figures = [with_error(row[key], 100) for key in WAYS]
        line = [row["model"], row["method"], str(row["own"]["n"]), *figures]
        rest = [with_error(row[key], 100) for key in ("empty", "unchanged")]
        cells.append([*line, with_error(row["gain"], 100, sign="+"), *rest])
    below = [
        "",
        "Gain: of minus_context over the method's own map. Empty: maps of which minus_context leaves nothing. Nothing "
        "off: words that have no positive score at the place of any other word before, so that nothing is taken off. "
        "±: standard error, the words of one picture counting as one source of error; that of the gain is of the "
        "differences, word by word.",
    ]
    show(out / f"minus-context-{split}", report, head, cells, [f"`{command}`"], below)


def judged(model: Any, i: int, scene: vignettes.Vignette, method: str) -> Iterator[dict[str, Any]]:
    """Each true object word of the generated caption: which of the maps hit, and whether anything is taken off."""
    own = mmcam.explain_caption(model, scene.image, method=method)
    both = mmcam.explain_caption(model, scene.image, caption=own.caption, method=method, minus_context=True)
    relevance = relevances(model, scene, own.caption)
    texts = [exp.target for exp in own]
    maps = torch.stack([exp.values.float().relu() for exp in own])
    for word in check(own.caption, scene.truth):
        if word.category != "object" or not word.correct or not word.things:
            continue
        place, mask = word.position, scene.mask(set(word.things))
        earlier = [j for j in range(place) if texts[j] != texts[place]]
        weights = relevance[earlier, place]
        less = less_context(maps[place], maps[earlier], weights)
        made = {
            "own": own[place],
            "filtered": replace(own[place], values=rank_gaussian(maps[place])),
            "less context": replace(own[place], values=less),
            "minus_context": both[place],
        }
        hits = {way: inside(exp.peak(), mask) for way, exp in made.items()}
        yield {"picture": i, **hits, "empty": both[place].empty, "unchanged": not bool((weights > 0).any())}


def relevances(model: Any, scene: vignettes.Vignette, caption: str) -> torch.Tensor:
    """Of a captioner whose words are tokens: in row j how high every word of the caption scores at the place of j."""
    tokens = torch.tensor([model.encode(caption)])
    with torch.no_grad():
        logits = model.token_logits(model.preprocess(scene.image)[0][None], tokens)[0]
    scores: torch.Tensor = logits[:, tokens[0]].relu()
    return scores


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares with their errors."""

    def over(values: list[float]) -> dict[str, Any]:
        result: Mean = mean(values, [record["picture"] for record in found])
        return asdict(result)

    shares = {key: over([float(record[key]) for record in found]) for key in (*WAYS, "empty", "unchanged")}
    gain = [float(record["minus_context"]) - float(record["own"]) for record in found]
    return {**shares, "gain": over(gain)}


if __name__ == "__main__":
    typer.run(main)
