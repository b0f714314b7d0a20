"""Seeds: the cells of a picture that are surely of a class, or surely of none, as SEC makes them of maps.

Source: Kolesnikov & Lampert, Seed, Expand and Constrain, arXiv 1603.06098, section 4.1; Grad-CAM, arXiv 1610.02391,
section 4.2, whose maps take the place of CAM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.engine.outputs import picture_of
from mmcam.errors import ExplainError
from mmcam.explain.attribution import attribute, evidence
from mmcam.image import Geometry
from mmcam.places.find import spatial
from mmcam.tasks.anything import forward_of

GRID: Final = 41
"""Cells a side."""
FOREGROUND: Final = 0.2
"""A class is seeded where its map is above this share of its maximum."""
BACKGROUND: Final = 0.1
"""This share of the cells, those that matter least, is background."""
NOTHING: Final = -1
"""A cell without a seed."""
EIGHTH: Final = 8
"""Pixels a cell of the layer that background is read from, as of VGG-16's conv4_1."""


def seeds_of(
    model: nn.Module,
    x: Tensor,
    geometry: Geometry,
    targets: Sequence[int],
    classes: Sequence[int],
    *,
    earlier: str,
    method: str = "gradcam",
    layer: str | None = None,
    grid: int = GRID,
) -> NDArray[np.int8]:
    """The seeds of one picture.

    Args:
        model: a classifier; left as found.
        x: (1, C, H, W), the picture as the model takes it.
        geometry: where its pixels lie in x.
        targets: the model's classes that are in the picture, at least one.
        classes: what each is called in the seeds, from 0.
        earlier: the layer that background is read from, see `earlier_layer`.
        method, layer: of the maps.
        grid: cells a side, over the whole picture.

    Returns:
        (grid, grid): 1 + the class, 0 for background, `NOTHING` where there is no seed.
    """
    maps = on_grid(one_channel(attribute(model, x, list(targets), method=method, layer=layer)[:, 0]), geometry, grid)
    return planted(maps, classes, background(model, x, geometry, targets, earlier, grid))


def one_channel(maps: Tensor) -> Tensor:
    """Maps (T, h, w), or pixel maps (T, C, h, w), of which the largest magnitude over the channels counts."""
    return maps if maps.ndim == 3 else maps.abs().amax(1)


def on_grid(maps: Tensor, geometry: Geometry, grid: int) -> NDArray[np.float32]:
    """Maps (T, h, w) over a model's input → (T, grid, grid) over the whole picture, un-normalised.

    Small maps are sampled at the middle of each cell (bilinear), of large ones a cell takes the mean. What a crop never
    showed to the model gets 0.
    """
    fine = [max(grid, side) for side in maps.shape[-2:]]
    over = geometry.resized(*fine).to_original(maps)
    return np.asarray(F.adaptive_avg_pool2d(over[None], (grid, grid))[0].cpu().numpy())


def background(
    model: nn.Module, x: Tensor, geometry: Geometry, targets: Sequence[int], earlier: str, grid: int
) -> NDArray[np.bool_]:
    """(grid, grid), true at the tenth of the cells where the scores depend least on an earlier layer.

    There the largest magnitude of the gradient over channels and targets counts, median-filtered 3×3. What the model
    never saw is no background.
    """
    from scipy import ndimage

    found = evidence(model, x, list(targets), layer=earlier)
    strength = found.gradients[:, 0].abs().amax((0, 1))[None]
    smooth = ndimage.median_filter(on_grid(strength, geometry, grid)[0], size=3)
    seen = on_grid(torch.ones_like(strength), geometry, grid)[0] > 0
    return np.asarray(seen & (smooth <= np.quantile(smooth[seen], BACKGROUND)))


def planted(maps: NDArray[np.floating], classes: Sequence[int], back: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Seeds of maps (T, h, w), un-normalised, and of where background is (h, w).

    A class's seed overrules the background's; of two classes, the one with fewer cells overrules the other.

    Returns:
        (h, w): 1 + the class, 0 for background, `NOTHING` where there is no seed.
    """
    seeds = np.where(back, 0, NOTHING).astype(np.int8)
    claims = [(cam > FOREGROUND * cam.max()) & (cam > 0) for cam in maps]
    for n in sorted(range(len(classes)), key=lambda n: -claims[n].sum()):
        seeds[claims[n]] = classes[n] + 1
    return seeds


def earlier_layer(model: nn.Module, x: Tensor) -> str:
    """The name of the last layer whose cells are an eighth of the input, or as near below it as there are.

    Raises:
        ExplainError: the model has no layer that shows a map.
    """
    spots = spatial(model, forward_of(model), x)
    if not spots:
        raise ExplainError(f"{type(model).__name__} has no layer that shows where things are, so it gives no seeds.")
    wanted = min(picture_of(x)) / EIGHTH
    sides = [min(spot.map[1:]) for spot in spots]
    nearest = min(sides, key=lambda side: (side < wanted, abs(side - wanted)))
    return [spot.call.name for spot, side in zip(spots, sides, strict=True) if side == nearest][-1]
