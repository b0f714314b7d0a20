"""Seeds of a segmentation, made from maps as SEC makes them (arXiv 1603.06098), and counted against exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

import mmcam
from mmcam.datasets import vignettes

METHODS: Final = ("gradcam", "gradcam++", "layercam", "hirescam", "c_mwp", "guided_gradcam", "gradient")
BASELINES: Final = ("(centre)", "(random)")
GRID: Final = 41
FOREGROUND: Final = 0.2
BACKGROUND: Final = 0.1
EARLIER: Final = "encoder.features.13"
"""A layer of 28×28, an eighth of the picture's side as conv4_1 of VGG-16 is."""
NOTHING: Final = -1


def counted(model: Any, scene: vignettes.Vignette, i: int) -> dict[str, list[list[int]]]:
    """For every method and label, 0 the background: [label, seeded and true, seeded, true] cells."""
    x = model.preprocess(scene.image)[0][None]
    labels = kinds_of(model, scene)
    true = truth(model, scene)
    back = background(model, x, labels)
    counts = {}
    for method in (*METHODS, *BASELINES):
        seeds = planted(maps_of(model, x, labels, method, i), labels, back)
        each = [(label, seeds == label, true == label) for label in (0, *(label + 1 for label in labels))]
        counts[method] = [[label, int((a & b).sum()), int(a.sum()), int(b.sum())] for label, a, b in each]
    return counts


def kinds_of(model: Any, scene: vignettes.Vignette) -> list[int]:
    """The classes of the kinds of which something can be seen."""
    kinds = sorted({t.kind for t, mask in zip(scene.truth.things, scene.instances, strict=True) if mask.any()})
    return [list(model.classes).index(kind) for kind in kinds]


def truth(model: Any, scene: vignettes.Vignette) -> np.ndarray:
    """(GRID, GRID): 1 + the class at the middle of each cell, 0 where no thing is."""
    labelled = np.zeros(scene.instances.shape[1:], int)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        labelled[mask] = 1 + list(model.classes).index(thing.kind)
    middles = ((np.arange(GRID) + 0.5) * len(labelled) / GRID).astype(int)
    return labelled[np.ix_(middles, middles)]


def maps_of(model: Any, x: Tensor, labels: Sequence[int], method: str, i: int) -> np.ndarray:
    """(classes, GRID, GRID), un-normalised."""
    if method == "(random)":
        return np.random.default_rng(i).random((len(labels), GRID, GRID))
    if method == "(centre)":
        y, across = np.indices((GRID, GRID)) - GRID // 2
        return np.repeat(np.exp(-(y**2 + across**2) / (2 * (GRID / 6) ** 2))[None], len(labels), 0)
    maps = mmcam.attribute(model, x, list(labels), method=method)[:, 0]
    maps = maps if maps.ndim == 3 else maps.abs().amax(1)
    mode = {"size": (GRID, GRID), "mode": "bilinear", "align_corners": False}
    if maps.shape[-1] > GRID:
        mode = {"size": (GRID, GRID), "mode": "area"}  # of a pixel map, all pixels of a cell
    return F.interpolate(maps[:, None], **mode)[:, 0].numpy()  # type: ignore[arg-type]


def background(model: Any, x: Tensor, labels: Sequence[int]) -> np.ndarray:
    """(GRID, GRID), true at the tenth of the cells where the scores depend least on the earlier layer."""
    evidence = mmcam.evidence(model, x, list(labels), layer=EARLIER)
    strength = evidence.gradients[:, 0].abs().amax((0, 1))
    large = F.interpolate(strength[None, None], (GRID, GRID), mode="bilinear", align_corners=False)[0, 0]
    smooth = ndimage.median_filter(large.numpy(), size=3)
    return np.asarray(smooth <= np.quantile(smooth, BACKGROUND))


def planted(maps: np.ndarray, labels: Sequence[int], back: np.ndarray) -> np.ndarray:
    """(GRID, GRID): 1 + the class seeded in each cell, 0 for background, NOTHING where there is no seed.

    A class's seed overrules the background's; of two classes, that with fewer cells overrules the other.
    """
    seeds = np.where(back, 0, NOTHING)
    claims = [(cam > FOREGROUND * cam.max()) & (cam > 0) for cam in maps]
    for n in sorted(range(len(labels)), key=lambda n: -claims[n].sum()):
        seeds[claims[n]] = labels[n] + 1
    return seeds
