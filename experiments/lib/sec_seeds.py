"""Seeds of a segmentation (`mmcam.diagnosis.segmentation.seeds`) by many methods, held against exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

import mmcam
from mmcam.datasets import vignettes
from mmcam.diagnosis.segmentation.seeds import GRID, background, on_grid, one_channel, planted
from mmcam.diagnosis.segmentation.sowing import at_middles
from mmcam.image import Geometry

METHODS: Final = ("gradcam", "gradcam++", "layercam", "hirescam", "c_mwp", "guided_gradcam", "gradient")
BASELINES: Final = ("(centre)", "(random)")
EARLIER: Final = "encoder.features.13"
"""A layer of 28×28, an eighth of the picture's side as conv4_1 of VGG-16 is."""


def counted(model: Any, scene: vignettes.Vignette, i: int) -> dict[str, list[list[int]]]:
    """For every method and label, 0 the background: [label, seeded and true, seeded, true] cells."""
    labels = kinds_of(model, scene)
    true = truth(model, scene)
    counts = {}
    for method, seeds in seeds_by(model, scene, labels, (*METHODS, *BASELINES), i).items():
        each = [(label, seeds == label, true == label) for label in (0, *(label + 1 for label in labels))]
        counts[method] = [[label, int((a & b).sum()), int(a.sum()), int(b.sum())] for label, a, b in each]
    return counts


def seeds_by(
    model: Any, scene: vignettes.Vignette, labels: Sequence[int], methods: Sequence[str], i: int
) -> dict[str, np.ndarray]:
    """By each method the seeds of a picture, (GRID, GRID); i is its number."""
    x, geometry = model.preprocess(scene.image)
    back = background(model, x[None], geometry, labels, EARLIER, GRID)
    return {method: planted(maps_of(model, x[None], geometry, labels, method, i), labels, back) for method in methods}


def kinds_of(model: Any, scene: vignettes.Vignette) -> list[int]:
    """The classes of the kinds of which something can be seen."""
    kinds = sorted({t.kind for t, mask in zip(scene.truth.things, scene.instances, strict=True) if mask.any()})
    return [list(model.classes).index(kind) for kind in kinds]


def truth(model: Any, scene: vignettes.Vignette) -> np.ndarray:
    """(GRID, GRID): 1 + the class at the middle of each cell, 0 where no thing is."""
    labelled = np.zeros(scene.instances.shape[1:], np.uint8)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        labelled[mask] = 1 + list(model.classes).index(thing.kind)
    return at_middles(labelled, GRID)


def maps_of(model: Any, x: Tensor, geometry: Geometry, labels: Sequence[int], method: str, i: int) -> np.ndarray:
    """(classes, GRID, GRID), un-normalised."""
    if method == "(random)":
        return np.random.default_rng(i).random((len(labels), GRID, GRID))
    if method == "(centre)":
        y, across = np.indices((GRID, GRID)) - GRID // 2
        return np.repeat(np.exp(-(y**2 + across**2) / (2 * (GRID / 6) ** 2))[None], len(labels), 0)
    return on_grid(one_channel(mmcam.attribute(model, x, list(labels), method=method)[:, 0]), geometry, GRID)
