"""The atlas of a dissected layer: every unit with its name and its strongest pictures, on one HTML page.

As the pages of Network Dissection (Bau et al., arXiv 1704.05796) show them: each picture is clear where the unit is
active and dimmed elsewhere. The page is one file that needs nothing else, no network either.
"""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor, nn

from mmcam.compute import batch_of
from mmcam.datasets.concepts import Concept, ConceptData
from mmcam.engine import ExplainError, activations, unwrap
from mmcam.explanation import write_whole
from mmcam.image import Geometry, PictureError
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.exemplars import lit
from mmcam.neurons.fingerprint import fingerprint
from mmcam.neurons.names import Names, UnitName
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of

SIDE, QUALITY = 112, 60  # of the embedded pictures: 384 units with 6 each weigh about 7 MB
DIM = 0.28  # brightness where a unit is not active
MOST = 12  # concepts in the chart of those with most units
NOISE = 0.05  # by how much the peaks may differ between two devices or precisions, as a share


@dataclass(frozen=True)
class Shown:
    """A picture in which a unit is strong.

    Attributes:
        picture: its number in the data.
        peak: the unit's value.
        image: as a data URI; "" if it cannot be read any more.
        size: (width, height) of it.
    """

    picture: int
    peak: float
    image: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Card:
    """All that is shown of a unit.

    Attributes:
        unit: channel of the layer, from 0.
        name: None if the unit detects nothing.
        iou: with its best concept, whether it is called so or not.
        best: the best concept of every category with the IoU, None where it shares no pixel with any.
        threshold: above which the unit is active.
        dead: it never is.
        pictures: in which it is strongest.
    """

    unit: int
    name: UnitName | None
    iou: float
    best: dict[str, tuple[Concept, float] | None]
    threshold: float
    dead: bool
    pictures: tuple[Shown, ...]


@torch.inference_mode(False)
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
    drawn: dict[tuple[int, int], tuple[str, tuple[int, int]]] = {}
    strays: list[float] = []
    for index, picture, geometry, maps in _run(module, dissection.layer, data, sorted(wanted), preprocess, batch, call):
        small = thumbnail(picture)
        for unit in wanted[index]:
            active = region(maps[unit], geometry, float(dissection.thresholds[unit]))
            drawn[unit, index] = data_uri(spotlight(small, active)), small.size
            noted = float(dissection.peaks[unit][dissection.exemplars[unit] == index])
            strays.append(abs(float(maps[unit].max()) - noted) / max(abs(noted), 1e-12))
    if strays and np.median(strays) > NOISE:
        raise ExplainError(
            f"The units are not as strong in these pictures of {data.name} as the dissection has noted; pass the data "
            "and the preprocess= (and call=) it was made with."
        )
    names = dissection.names(threshold)
    cards = [_card(dissection, unit, ranks[unit], names, drawn) for unit in ranks]
    cards.sort(key=lambda card: (card.name is None, -card.iou, card.unit))
    html = _page(dissection, cards, names, threshold).encode()
    return write_whole(Path(path), lambda file: file.write(html))


def region(cam: Tensor, geometry: Geometry, threshold: float) -> NDArray[np.bool_]:
    """Where a unit is active (H,W) in a picture: its map (h,w), brought to the picture's pixels, above a threshold.

    What a crop hides from the model is active nowhere, also where the threshold is below 0.
    """
    seen = geometry.to_original(torch.ones_like(cam)) > 0
    return ((geometry.to_original(cam) > threshold) & seen).cpu().numpy()


def thumbnail(picture: Image.Image) -> Image.Image:
    """A picture whose longer side is at most `SIDE`."""
    shrink = min(1.0, SIDE / max(picture.size))
    width, height = (max(1, round(side * shrink)) for side in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def spotlight(small: Image.Image, active: NDArray[np.bool_]) -> Image.Image:
    """A thumbnail, dimmed where the region (H,W) of the whole picture is not."""
    mask = Image.fromarray(active.astype(np.uint8) * 255).resize(small.size, Image.Resampling.BOX)
    return Image.composite(small, ImageEnhance.Brightness(small).enhance(DIM), mask)


def data_uri(picture: Image.Image) -> str:
    """A picture as text."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _check(dissection: Dissection, module: nn.Module, data: ConceptData, exemplars: int) -> None:
    """Refuse a page that would show something else than was dissected."""
    if exemplars < 1:
        raise ExplainError(f"exemplars={exemplars} leaves no picture to show; it is at least 1.")
    if fingerprint(module, dissection.layer) != dissection.fingerprint:
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
    module: nn.Module, layer: str, data: ConceptData, indices: list[int], preprocess: Any, batch: int, call: int | None
) -> Iterator[tuple[int, Image.Image, Geometry, Tensor]]:
    """Each picture with the way back to its pixels and the layer's maps (K,h,w); without those that cannot be read."""
    forward = forward_of(module)
    for start in with_progress(range(0, len(indices), batch), "Drawing the atlas"):
        found: list[tuple[int, Image.Image]] = []
        for index in indices[start : start + batch]:
            try:
                found.append((index, data.picture(index)))
            except PictureError:
                continue
        if not found:
            continue
        made = batch_of(module, [picture for _, picture in found], preprocess)
        maps = activations(module, forward, made.x, layer, call).float()
        for (index, picture), geometry, each in zip(found, made.geometries, maps, strict=True):
            yield index, picture, geometry, each


def _card(
    dissection: Dissection,
    unit: int,
    ranks: list[int],
    names: Names,
    drawn: dict[tuple[int, int], tuple[str, tuple[int, int]]],
) -> Card:
    pictures, peaks = dissection.exemplars[unit].tolist(), dissection.peaks[unit].tolist()
    best = {category: dissection.best(unit, category) for category in dissection.categories}
    return Card(
        unit=unit,
        name=names.units.get(unit),
        iou=max(iou for _, iou in best.values()),
        best={category: found if found[1] > 0 else None for category, found in best.items()},
        threshold=float(dissection.thresholds[unit]),
        dead=not ranks,
        pictures=tuple(
            Shown(pictures[rank], peaks[rank], *drawn.get((unit, pictures[rank]), ("", (SIDE, SIDE)))) for rank in ranks
        ),
    )


def _page(dissection: Dissection, cards: list[Card], names: Names, threshold: float) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmcam", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "short": short}
    concepts = Counter((name.name, name.category) for name in names.units.values())
    first = {key: card.unit for card in reversed(cards) if (key := _concept(card))}
    first |= {key[1]: card.unit for card in reversed(cards) if (key := _concept(card))}
    return environment.get_template("atlas.html.jinja").render(
        dissection=dissection,
        cards=cards,
        threshold=threshold,
        named=len(names.units),
        different=len(concepts),
        detectors=dissection.detectors(threshold),
        concepts=sorted(concepts.items(), key=lambda item: (-item[1], item[0]))[:MOST],
        first=first,
        colours={category: i % 8 for i, category in enumerate(dissection.categories)},
    )


def _concept(card: Card) -> tuple[str, str] | None:
    return None if card.name is None else (card.name.name, card.name.category)


def fixed(value: float, digits: int = 3) -> str:
    """An IoU to read."""
    return f"{value:.{digits}f}"


def short(value: float) -> str:
    """An activation to read, with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")
