"""Where the maxima of categories' maps lie: records of every picture and method, with which a stopped run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from rich.progress import track

import mmcam
from experiments.lib.boxes import blurred
from experiments.lib.category_networks import Net
from experiments.lib.category_outputs import score_of
from experiments.lib.pointing_subjects import Mask, Subject
from experiments.lib.protocol import OPTIONS
from experiments.lib.records import add, checksum, read
from mmcam.evaluation import centre, chance, inside

BASELINES: Final = ("(centre)", "(random)")


def path_of(work: Path, data: str, net: Net, method: str) -> Path:
    """Where the records of a network and method lie."""
    return work / f"{data}-{net.name}-{checksum(net.model)}-{method.strip('()')}.jsonl".replace(" ", "-")


def play(
    net: Net, subjects: Iterator[Subject], methods: Sequence[str], work: Path, data: str, limit: int | None
) -> None:
    """Write what is missing of a network's records."""
    paths = {method: path_of(work, data, net, method) for method in (*methods, *BASELINES)}
    done = {method: {record["picture"] for record in read(path)} for method, path in paths.items()}
    for subject in track(subjects, net.name, total=limit):
        todo = [method for method in paths if subject.name not in done[method]]
        if not todo:
            continue
        picture, truth = subject.picture(), subject.truth()
        top = surest(net, picture) if truth else []  # a picture in which nothing is annotated is no game
        asked = [name for name in truth if name in net.outputs and name not in subject.unclear]
        categories = [*asked, *(name for name in top if name not in asked and name not in subject.unclear)]
        for method in todo:
            maps = [
                {
                    "category": name, "asked": name in asked, "top": name in top, "maximum": maximum, "hit": hit,
                    "share": float(truth[name].mean()) if name in truth else 0.0,
                }
                for name, maximum, hit in judged(net, picture, truth, categories, method, subject.tolerance)
            ]  # fmt: skip
            add(paths[method], [{"picture": subject.name, "categories": len(truth), "maps": maps}])


def surest(net: Net, picture: Image.Image) -> list[str]:
    """The five categories of the highest scores, the surest first."""
    x, _ = net.preprocess(picture)
    with torch.no_grad():
        logits = net.model(x[None])
    scores = {name: float(score_of(outputs)(logits)) for name, outputs in net.outputs.items()}
    return sorted(scores, key=lambda name: -scores[name])[:5]


def judged(
    net: Net, picture: Image.Image, truth: dict[str, Mask], categories: Sequence[str], method: str, tolerance: float
) -> Iterator[tuple[str, float, float]]:
    """Of the map of each category: its maximum, and whether it hits (of random maps how likely they do)."""
    if method in BASELINES or not categories:
        for name in categories:
            mask = truth.get(name)
            if mask is None:
                yield name, 1.0, 0.0
            else:
                yield (
                    name,
                    1.0,
                    chance(mask, tolerance) if method == "(random)" else float(inside(centre(mask), mask, tolerance)),
                )
        return
    targets = [score_of(net.outputs[name]) for name in categories]
    how: dict[str, Any] = {"method": method, **OPTIONS.get(method, {})}
    maps = mmcam.explain_class(net.model, picture, targets, preprocess=net.preprocess, **how)
    for name, exp in zip(categories, maps, strict=True):
        exp = blurred(exp) if exp.values.ndim == 3 else exp
        hit = name in truth and inside(exp.peak(), truth[name], tolerance)
        yield name, float(exp.heatmap.max()), float(hit)
