"""What is measured of a map's faithfulness: the figures of each picture, kept in records, and their means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.baseline import BASELINES, baseline
from experiments.lib.protocol import METHODS, OPTIONS, SQUARES
from experiments.lib.records import add, read
from experiments.lib.worlds import Asked, Net
from mmcam.evaluation import Mean, mean
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.deletion import Curve, deletion, insertion, road
from mmcam.evaluation.drop import drops, seen_through, win
from mmcam.evaluation.sensitivity import max_sensitivity

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
Explain = Callable[[Tensor], Tensor]


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
        made = mmcam.attribute(model, x, [label], method=method, **OPTIONS.get(method, {}))[0]
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
