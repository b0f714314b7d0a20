"""Maps as a page holds them: the values of their cells, a byte each, and where the cells lie in the picture.

The browser does with them what `Explanation.overlay` does: interpolate between the centres of the cells, cut to the
positive, colour, and lay over the picture. A pixel map is a picture by itself.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.drawing.overlay import draw_signed, edge
from mmcam.image import Geometry
from mmcam.report.shown import Shown
from mmcam.report.spotlight import data_uri

CELLS = 64
"""Of a map's longer side, at most; finer ones, as those of RISE, are averaged down."""


def seen_together(explanations: Sequence[Shown], size: tuple[int, int]) -> list[Tensor]:
    """The maps of explanations over their picture, reduced to `size`: where each pixel lies is worked out once for all
    that share geometry and resolution.
    """
    groups: dict[Any, list[int]] = {}
    for place, exp in enumerate(explanations):
        groups.setdefault((exp.geometry, exp.values.shape, exp.values.device), []).append(place)
    found: dict[int, Tensor] = {}
    for (geometry, *_), places in groups.items():
        values = torch.stack([explanations[place].values for place in places])
        found.update(zip(places, geometry.resized(size[1], size[0]).to_original(values), strict=True))
    return [found[place] for place in range(len(explanations))]


def drawn(exp: Shown, size: tuple[int, int], seen: Tensor | None = None) -> dict[str, Any]:
    """What the browser draws of an explanation over its picture, reduced to `size` (width, height).

    Args:
        exp: the explanation.
        size: of the picture.
        seen: its map over that picture, if it has been worked out (see `seen_together`).
    """
    geometry = exp.geometry.resized(size[1], size[0])
    seen = geometry.to_original(exp.values) if seen is None else seen
    place: dict[str, Any] = {"x": _line(geometry, 1), "y": _line(geometry, 0), "seen": shown_part(geometry)}
    if exp.region is not None:
        height, width = exp.geometry.original
        place["region"] = data_uri(edge(exp.region.mask(width, height), size))
    if exp.values.ndim == 3:
        values = seen.cpu()
        image = data_uri(draw_signed(values.numpy())) if bool((values.abs() > 0).any()) else None
        return {**place, "image": image, "peak": _peak(values.abs().amax(0))}
    top = float(seen.max())
    if not 0 < top < math.inf:
        return {**place, "cells": None, "peak": None}
    cells = _reduced(exp.values.detach().float()).cpu() / top
    low = float(cells.min().clamp(-1, 0))
    levels = ((cells.clamp(low, 1) - low) / (1 - low) * 255).round().to(torch.uint8)
    return {
        **place,
        "cells": base64.b64encode(levels.numpy().tobytes()).decode(),
        "shape": list(levels.shape),
        "low": low,
        "top": top,
        "peak": _peak(seen.cpu()),
    }


def shown_part(geometry: Geometry) -> list[float] | None:
    """The part of the picture that the model was shown, in percent: left, top, right, bottom; None if it is all."""
    edges = []
    for axis in (1, 0):
        share, start = _line(geometry, axis)
        edges.append((max(0.0, -start / share), min(1.0, (1 - start) / share)))
    (left, right), (top, bottom) = edges
    if max(left, top, 1 - right, 1 - bottom) < 0.001:
        return None
    return [round(100 * edge, 3) for edge in (left, top, right, bottom)]


def _line(geometry: Geometry, axis: int) -> tuple[float, float]:
    """How much of the input's side the picture's side takes, and where it begins, as shares of the input's."""
    side = geometry.input[axis]
    return geometry.original[axis] * geometry.scale[axis] / side, geometry.offset[axis] / side


def _reduced(values: Tensor) -> Tensor:
    """A map with at most `CELLS` cells a side."""
    if max(values.shape) <= CELLS:
        return values
    share = CELLS / max(values.shape)
    size = [max(1, round(side * share)) for side in values.shape]
    return F.interpolate(values[None, None], size, mode="area")[0, 0]


def _peak(seen: Tensor) -> list[float] | None:
    """Where a map (H,W) is greatest, in percent from the left and the top; None for one that is nowhere so."""
    top = float(seen.max())
    if not 0 < top < math.inf or float(seen.min()) == top:
        return None
    y, x = divmod(int(seen.argmax()), seen.shape[1])
    return [round(100 * (x + 0.5) / seen.shape[1], 2), round(100 * (y + 0.5) / seen.shape[0], 2)]
