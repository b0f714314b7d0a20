"""Which layer and method show the defects best? Chosen on validation pictures whose defects are masked.

Deep layers know most and see coarsely: at 7×7 cells a crack is smaller than a cell. Which resolution serves depends on
the defects, so it is measured, where masks say where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mmcam.diagnosis.labelled import LabelledPicture, region
from mmcam.errors import ExplainError, IndependentError
from mmcam.evaluation import Mean, centre, inside, mass, mean
from mmcam.explain.classes import explain_class
from mmcam.explain.looking import look
from mmcam.explanation.segments import SHARE
from mmcam.image import load_image
from mmcam.places.find import find_layer, spatial
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of

METHODS: Final = ("gradcam", "gradcam++", "hirescam", "layercam")
SHARES: Final = (SHARE, 0.3, 0.5, 0.7)
"""Of a map's maximum, from which on it is the defect."""
HALF: Final = 0.5
"""That share where nobody chose one: at 15 % the map of a coarse layer covers most of a photograph."""
RESOLUTIONS: Final = 3
LEAST: Final = 4
"""Cells of a side below which a layer shows too little."""


@dataclass(frozen=True)
class Localiser:
    """How maps are made and read.

    Attributes:
        layer: where activations are read.
        method: of `mmcam.METHODS`.
        share: of a map's maximum, from which on it is the defect.
        chosen: on how many masked pictures; 0 if it is the default, which nobody chose.
    """

    layer: str
    method: str = METHODS[0]
    share: float = HALF
    chosen: int = 0


@dataclass(frozen=True)
class Masked:
    """A picture and where its defect is (H, W)."""

    picture: LabelledPicture
    label: str
    mask: NDArray[np.bool_]


def masked(pictures: Sequence[LabelledPicture]) -> list[Masked]:
    """Those of the pictures whose masks say where something is.

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    found = []
    for picture in pictures:
        label = picture.labels[0]
        if label not in picture.masks and label not in picture.boxes:
            continue
        mask = region(picture, label, load_image(picture.path).size)
        if mask is not None and mask.any():
            found.append(Masked(picture, label, mask))
    return found


def layers_of(model: nn.Module, picture: LabelledPicture) -> list[str]:
    """The default layer, and the last one of each of the next finer resolutions."""
    x = batch_of(model, [picture.path], None).x
    forward = forward_of(model)
    default = find_layer(model, forward, x)
    last = {spot.map[1:]: spot.call.name for spot in spatial(model, forward, x)}  # the later takes the earlier's place
    sizes = sorted(last, key=lambda size: size[0] * size[1])
    coarse = [size for size in sizes if min(size) >= LEAST and size != _size_of(default, model, forward, x)]
    return [default, *(last[size] for size in coarse[: RESOLUTIONS - 1])]


def _size_of(layer: str, model: nn.Module, forward: Any, x: Any) -> tuple[int, ...]:
    return next((spot.map[1:] for spot in spatial(model, forward, x) if spot.call.name == layer), ())


def measured(
    model: nn.Module,
    pictures: Sequence[Masked],
    layers: Sequence[str],
    shares: Mapping[tuple[str, str], float] | None = None,
) -> list[dict[str, Any]]:
    """How well each layer and method shows defects: a row each, best first.

    Pointing is the share of maps whose maximum lies on the defect; IoU is of the defect and the part of the map above a
    share of its maximum; mass is the share of the map that lies on the defect.
    "Small" are the defects below the median area. Errors are standard errors over groups.

    Args:
        model: with names of its classes.
        pictures: with their masks, at least one.
        layers: by name.
        shares: of a map's maximum, by layer and method; default for each the one with the greatest mean IoU here.

    Raises:
        ExplainError: the classes depend on none of the layers.
    """
    groups = [each.picture.group or str(each.picture.path) for each in pictures]
    areas = np.array([each.mask.mean() for each in pictures])
    small = areas < np.median(areas)
    of = {label: np.array([each.label == label for each in pictures]) for label in sorted({e.label for e in pictures})}
    ways = [(layer, method) for layer in layers for method in METHODS]
    rows: list[dict[str, Any]] = []
    looked: dict[str, Any] = {}
    for layer, method in with_progress(ways, "Trying layers and methods"):
        if layer not in looked:  # one pass for all methods
            looked = {layer: look(model, [each.picture.path for each in pictures], layer=layer)}
        try:
            maps = explain_class(model, looked[layer], [each.label for each in pictures], layer=layer, method=method)
        except IndependentError:  # what the classes do not depend on shows none of them
            continue
        hits = np.array([float(inside(exp.peak(), each.mask)) for exp, each in zip(maps, pictures, strict=True)])
        overlaps = np.array(
            [[iou(exp.mask(share), each.mask) for share in SHARES] for exp, each in zip(maps, pictures, strict=True)]
        )
        best = int(overlaps.mean(0).argmax()) if shares is None else SHARES.index(shares[layer, method])
        on = [mass(exp.heatmap, each.mask) for exp, each in zip(maps, pictures, strict=True)]
        rows.append(
            {
                "layer": layer,
                "cells": list(maps[0].cam.shape),
                "method": method,
                "share": SHARES[best],
                "pointing": vars(mean(hits, groups)),
                "pointing_small": vars(_of(hits, small, groups)),
                "iou": vars(mean(overlaps[:, best], groups)),
                "iou_small": vars(_of(overlaps[:, best], small, groups)),
                "mass": vars(mean(np.array(on), groups)),
                "classes": {
                    label: {
                        "pointing": vars(_of(hits, rows, groups)),
                        "iou": vars(_of(overlaps[:, best], rows, groups)),
                    }
                    for label, rows in of.items()
                },
            }
        )
    if not rows:
        raise ExplainError(f"The classes depend on none of the layers {', '.join(layers)}; train anew, or longer.")
    return sorted(rows, key=lambda row: (-row["pointing"]["value"], -row["iou"]["value"]))


def _of(values: NDArray[np.float64], rows: NDArray[np.bool_], groups: Sequence[str]) -> Mean:
    """The mean over some of the pictures."""
    return mean(values[rows], [group for group, each in zip(groups, rows, strict=True) if each])


def baselines(pictures: Sequence[Masked]) -> dict[str, float]:
    """How often the middle of the picture lies on the defect, and how often any of its pixels would."""
    return {
        "centre": float(np.mean([inside(centre(each.mask), each.mask) for each in pictures])),
        "chance": float(np.mean([each.mask.mean() for each in pictures])),
    }


def shares_of(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """The share of the maximum of each row's layer and method."""
    return {(row["layer"], row["method"]): row["share"] for row in rows}


def chosen(rows: Sequence[dict[str, Any]], pictures: int) -> Localiser:
    """The way of the first row: the most maxima on a defect, of several as good the greatest IoU."""
    best = rows[0]
    return Localiser(best["layer"], best["method"], best["share"], pictures)


def iou(found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """The intersection of two masks over their union; 0 where both are empty.

    Raises:
        ExplainError: they differ in size.
    """
    if found.shape != mask.shape:
        raise ExplainError(f"The map is {found.shape} and the mask {mask.shape}; they have to be of one size.")
    union = int((found | mask).sum())
    return int((found & mask).sum()) / union if union else 0.0
