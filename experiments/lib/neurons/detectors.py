"""How many units are detectors, in trained encoders, in their earlier layers and in random ones?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmcam
import models
from experiments.lib.neurons.dissected import GROUPS, LAYER, QUANTILES, SUPERVISED, THRESHOLDS, dissected
from experiments.lib.stamp import stamp
from experiments.lib.tables import show


def detectors(probes: int, work: Path) -> list[dict[str, Any]]:
    """Rows of the table of detectors: of the trained encoders, of earlier layers, and of random weights.

    Args:
        probes: vignettes that the models are dissected with.
        work: folder of the dissections.
    """
    classifier = models.load("vignette-classifier")
    card = json.loads((models.WEIGHTS / "vignette-classifier.json").read_text())
    subjects: list[tuple[str, nn.Module, str, Iterable[str]]] = [
        ("vignette-classifier", classifier, LAYER, GROUPS),
        ("vignette-captioner and vignette-vqa", models.load("vignette-vqa"), LAYER, GROUPS),
        ("vignette-classifier, an earlier layer", classifier, "encoder.features.26", ("all",)),
        ("vignette-classifier, earlier still", classifier, "encoder.features.18", ("all",)),
    ]
    for seed in (0, 1):
        torch.manual_seed(seed)
        subjects.append((f"random weights, seed {seed}", models.build(card).eval(), LAYER, ("all",)))
    return [
        {"model": name, **detected(dissected(model, layer, probes, quantile, work), threshold, group)}
        for name, model, layer, groups in subjects
        for quantile in QUANTILES
        for threshold in THRESHOLDS
        for group in groups
    ]


def detected(found: mmcam.Dissection, threshold: float, group: str) -> dict[str, Any]:
    """How many units of a group have a name above a threshold, by category, and how many different names."""
    of = [unit for unit in range(found.units) if GROUPS[group](unit)]
    named = [name for unit, name in found.names(threshold).units.items() if GROUPS[group](unit)]
    return {
        "layer": found.layer, "group": group, "units": len(of), "quantile": found.quantile, "threshold": threshold,
        "detectors": {category: sum(n.category == category for n in named) for category in found.categories},
        "concepts": len({(n.name, n.category) for n in named}),
    }  # fmt: skip


def show_detectors(rows: Sequence[dict[str, Any]], probes: int, out: Path, command: str) -> None:
    """Print and write neuron-detectors."""
    cells = [
        [row["model"], f"{row['quantile']:g}", f"{row['threshold']:g}", row["group"],
         f"{sum(row['detectors'].values())} of {row['units']}", *(str(count) for count in row["detectors"].values()),
         str(row["concepts"])]
        for row in rows
    ]  # fmt: skip
    head = ["model", "quantile", "IoU above", "units", "named units", *rows[0]["detectors"], "different concepts"]
    above = [
        f"Units that detect a concept, by the category of the best one; {probes} vignettes of the validation split. "
        f"{SUPERVISED} Random weights are the classifier's shape before training.",
        "",
        f"    {command}",
    ]
    show(out / "neuron-detectors", {**stamp(command, pictures=probes, seed=0), "rows": rows}, head, cells, above)
