"""The atlas of a dissected layer: every unit with its name and its strongest pictures, on one HTML page.

As the pages of Network Dissection (Bau et al., arXiv 1704.05796) show them: each picture is clear where the unit is
active and dimmed elsewhere. The page is one file that needs nothing else, no network either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.datasets.concepts import ConceptData
from mmcam.engine.modules import unwrap
from mmcam.engine.record import activations
from mmcam.errors import ExplainError, PictureError
from mmcam.files import write_whole
from mmcam.image import Geometry
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.exemplars import lit
from mmcam.neurons.fingerprint import fingerprint
from mmcam.places.survey import layer_at
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.report.page import Shown, card_of, page
from mmcam.report.spotlight import SIDE, data_uri, regions, spotlight, thumbnail
from mmcam.tasks.anything import forward_of

PIXELS = 2**26  # of maps at once: 256 MB
NOISE = 0.05  # by how much the peaks may differ between two devices or precisions, as a share

Drawn = dict[tuple[int, int], tuple[str, tuple[int, int]]]
"""By unit and picture: the image as a data URI, and its (width, height)."""


def atlas(
    dissection: Dissection,
    model: nn.Module,
    data: ConceptData,
    path: str | os.PathLike[str],
    *,
    exemplars: int = 6,
    threshold: float = DETECTOR,
    preprocess: Any = None,
    batch: int = 32,
    call: int | None = None,
) -> Path:
    """Write a page to look through the units of a layer.

    Every unit is on it, those without a name too, sorted by IoU. Pictures in which a unit is not active are left out.

    Args:
        dissection: of a layer of `model`.
        model: the one that was dissected; left as found.
        data: what it was dissected with.
        path: of the page; it appears whole or not at all.
        exemplars: how many pictures of each unit, at most as many as the dissection has noted.
        threshold: IoU above which a unit has a name.
        preprocess, call: as they were for `mmcam.dissect`.
        batch: pictures at a time; each is run once, however many units it shows.

    Returns:
        `path`.

    Raises:
        ExplainError: the model has other weights, or the data or the preprocessing is not what was dissected with.
    """
    module: Any = unwrap(model)
    _check(dissection, module, data, exemplars)
    ranks = {unit: lit(dissection, unit)[:exemplars] for unit in range(dissection.units)}
    wanted: dict[int, list[int]] = {}  # units by picture
    for unit, places in ranks.items():
        for index in dissection.exemplars[unit, places].tolist():
            wanted.setdefault(index, []).append(unit)
    forward = forward_of(module)

    def run(pictures: list[Image.Image]) -> tuple[list[Geometry], Tensor]:
        made = batch_of(module, pictures, preprocess)
        place = layer_at(module, forward, made.x, dissection.layer, call)
        return made.geometries, activations(module, forward, made.x, [place])[0].float()

    drawn = _draw(dissection, wanted, _run(data, sorted(wanted), batch, run))
    names = dissection.names(threshold)
    cards = [
        card_of(dissection, unit, names, threshold, _shown(dissection, unit, ranks[unit], drawn)) for unit in ranks
    ]
    cards.sort(key=lambda card: (-card.iou, card.unit))
    html = page(dissection, cards, threshold).encode()
    return write_whole(Path(path), lambda file: file.write(html))


def _check(dissection: Dissection, module: nn.Module, data: ConceptData, exemplars: int) -> None:
    """Refuse a page that would show something else than was dissected."""
    if exemplars < 1:
        raise ExplainError(f"exemplars={exemplars} leaves no picture to show; it is at least 1.")
    if fingerprint(module, dissection.layer) not in (dissection.fingerprint, *dissection.casts):
        raise ExplainError(
            f"The dissection of {dissection.layer} was made with other weights than this {type(module).__name__} has; "
            "pass the model it was made with, or dissect this one."
        )
    if data.name != dissection.data:
        raise ExplainError(
            f"The dissection was made with {dissection.data}, and its pictures are not those of {data.name}; pass the "
            "data it was made with."
        )


def _run(
    data: ConceptData, indices: list[int], batch: int, run: Callable[[list[Image.Image]], tuple[list[Geometry], Tensor]]
) -> Iterator[tuple[int, Image.Image, Geometry, Tensor]]:
    """Each picture with the way back to its pixels and the layer's maps (K,h,w); without those that cannot be read."""
    for start in with_progress(range(0, len(indices), batch), "Drawing the atlas"):
        found: list[tuple[int, Image.Image]] = []
        for index in indices[start : start + batch]:
            try:
                found.append((index, data.picture(index)))
            except PictureError:
                continue
        if not found:
            continue
        geometries, maps = run([picture for _, picture in found])
        for (index, picture), geometry, each in zip(found, geometries, maps, strict=True):
            yield index, picture, geometry, each


def _draw(
    dissection: Dissection, wanted: dict[int, list[int]], ran: Iterable[tuple[int, Image.Image, Geometry, Tensor]]
) -> Drawn:
    """What is shown of the wanted units in each picture that was run."""
    drawn: Drawn = {}
    strays: list[float] = []
    for index, picture, geometry, maps in ran:
        small, units = thumbnail(picture), torch.tensor(wanted[index])
        noted = dissection.peaks[units][dissection.exemplars[units] == index]
        strays += ((maps[units].amax((1, 2)).cpu() - noted).abs() / noted.abs().clamp(min=1e-12)).tolist()
        # As many units at once as memory takes: finding the picture's pixels in a map takes longer than reading them.
        for some in torch.split(units, max(1, PIXELS // (picture.width * picture.height))):
            active = regions(maps[some], geometry, dissection.thresholds[some])
            for unit, region in zip(some.tolist(), active, strict=True):
                drawn[unit, index] = data_uri(spotlight(small, region)), small.size
    if strays and np.median(strays) > NOISE:
        raise ExplainError(
            f"The units are not as strong in these pictures of {dissection.data} as the dissection has noted; pass the "
            "data and the preprocess= (and call=) it was made with."
        )
    return drawn


def _shown(dissection: Dissection, unit: int, ranks: list[int], drawn: Drawn) -> tuple[Shown, ...]:
    """The pictures of some places in a unit's row; empty where one could not be read."""
    pictures, peaks = dissection.exemplars[unit].tolist(), dissection.peaks[unit].tolist()
    return tuple(
        Shown(pictures[rank], peaks[rank], *drawn.get((unit, pictures[rank]), ("", (SIDE, SIDE)))) for rank in ranks
    )
