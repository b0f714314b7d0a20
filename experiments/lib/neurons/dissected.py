"""Dissections of the bundled models, made or read, and the groups of units that are counted apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from torch import nn

import mmcam
from experiments.lib.detectors import DETECTORS
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.neurons.fingerprint import fingerprint

MODELS: Final = ("vignette-classifier", "vignette-captioner", "vignette-vqa")
QUANTILES: Final = (0.005, 0.01)
THRESHOLDS: Final = (0.04, 0.1)
GROUPS: Final[dict[str, Callable[[int], bool]]] = {  # of the last layer's units, by number
    "all": lambda unit: True,
    "trained for a fact": lambda unit: unit < DETECTORS,
    "free": lambda unit: unit >= DETECTORS,
}
LAYER: Final = "encoder.features"
SUPERVISED: Final = (
    f"The first {DETECTORS} units of the classifier's last layer were each trained to answer for one class or fact of "
    "the picture (without masks), and the encoder of the captioner and the VQA model was trained on from it; only the "
    "others are free."
)


def dissected(model: nn.Module, layer: str, probes: int, quantile: float, work: Path) -> mmcam.Dissection:
    """A dissection with the first pictures of the validation split, made or read."""
    path = work / f"{fingerprint(model, layer)}-{probes}-{quantile:g}"
    if not path.with_name(f"{path.name}.json").exists():
        data = VignetteConcepts("val", probes)
        mmcam.dissect(model, data, layer, quantile=quantile, resume=path.with_name(f"{path.name}.part")).save(path)
    return mmcam.Dissection.load(path)
