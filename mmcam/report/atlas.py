"""The atlas of a dissected layer: every unit with its name and its strongest pictures, on one HTML page.

As the pages of Network Dissection (Bau et al., arXiv 1704.05796) show them: each picture is clear where the unit is
active and dimmed elsewhere. The page is one file that needs nothing else, no network either.
"""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor, nn

from mmcam.datasets.concepts import Concept, ConceptData
from mmcam.engine.modules import unwrap
from mmcam.engine.record import activations
from mmcam.errors import ExplainError, PictureError
from mmcam.files import write_whole
from mmcam.image import Geometry
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.exemplars import lit
from mmcam.neurons.fingerprint import fingerprint
from mmcam.neurons.names import Names, UnitName
from mmcam.places.grids import layer_at
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of

SIDE, QUALITY = 160, 60  # of the embedded pictures: 384 units with 6 each weigh 4 to 5 MB
DIM = 0.35  # brightness where a unit is not active
MOST = 10  # concepts in the chart of those with most units
COLOURS = 8  # of categories, in the style sheet
PIXELS = 2**26  # of maps at once: 256 MB
NOISE = 0.05  # by how much the peaks may differ between two devices or precisions, as a share

Drawn = dict[tuple[int, int], tuple[str, tuple[int, int]]]
"""By unit and picture: the image as a data URI, and its (width, height)."""


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
        found: the names of those that it detects.
        threshold: above which the unit is active.
        dead: it never is.
        pictures: in which it is strongest.
    """

    unit: int
    name: UnitName | None
    iou: float
    best: dict[str, tuple[Concept, float] | None]
    found: tuple[str, ...]
    threshold: float
    dead: bool
    pictures: tuple[Shown, ...]


@dataclass(frozen=True)
class Bar:
    """How many units a category has, or one concept of it; `unit` is the best of them, None if there is none."""

    category: str
    name: str
    count: int
    unit: int | None


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
    drawn = _draw(dissection, wanted, _run(module, dissection.layer, data, sorted(wanted), preprocess, batch, call))
    names = dissection.names(threshold)
    cards = [_card(dissection, unit, ranks[unit], names, threshold, drawn) for unit in ranks]
    cards.sort(key=lambda card: (-card.iou, card.unit))
    html = _page(dissection, cards, threshold).encode()
    return write_whole(Path(path), lambda file: file.write(html))


def regions(maps: Tensor, geometry: Geometry, thresholds: Tensor) -> NDArray[np.bool_]:
    """Where units are active (u,H,W) in a picture: their maps (u,h,w) in the picture's pixels, above their thresholds.

    What a crop hides from the model is active nowhere, also where a threshold is below 0.
    """
    seen = geometry.to_original(torch.ones_like(maps[:1])) > 0
    above = geometry.to_original(maps) > thresholds.to(maps.device)[:, None, None]
    return (above & seen).cpu().numpy()


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
        maps = activations(module, forward, made.x, [layer_at(module, layer, call)])[0].float()
        for (index, picture), geometry, each in zip(found, made.geometries, maps, strict=True):
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
        for some in units.split(max(1, PIXELS // (picture.width * picture.height))):
            active = regions(maps[some], geometry, dissection.thresholds[some])
            for unit, region in zip(some.tolist(), active, strict=True):
                drawn[unit, index] = data_uri(spotlight(small, region)), small.size
    if strays and np.median(strays) > NOISE:
        raise ExplainError(
            f"The units are not as strong in these pictures of {dissection.data} as the dissection has noted; pass the "
            "data and the preprocess= (and call=) it was made with."
        )
    return drawn


def _card(
    dissection: Dissection,
    unit: int,
    ranks: list[int],
    names: Names,
    threshold: float,
    drawn: Drawn,
) -> Card:
    pictures, peaks = dissection.exemplars[unit].tolist(), dissection.peaks[unit].tolist()
    best = {category: dissection.best(unit, category) for category in dissection.categories}
    return Card(
        unit=unit,
        name=names.units.get(unit),
        iou=max(iou for _, iou in best.values()),
        best={category: found if found[1] > 0 else None for category, found in best.items()},
        found=tuple(concept.name for concept, iou in best.values() if iou > threshold),
        threshold=float(dissection.thresholds[unit]),
        dead=not ranks,
        pictures=tuple(
            Shown(pictures[rank], peaks[rank], *drawn.get((unit, pictures[rank]), ("", (SIDE, SIDE)))) for rank in ranks
        ),
    )


def _page(dissection: Dissection, cards: list[Card], threshold: float) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmcam", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "short": short}
    named = [(card.unit, card.name) for card in cards if card.name is not None]  # the best first
    counts = Counter((name.category, name.name) for _, name in named)
    first = {(name.category, name.name): unit for unit, name in reversed(named)}
    firsts = {name.category: unit for unit, name in reversed(named)}
    detectors = dissection.detectors(threshold)
    most = sorted(counts, key=lambda concept: (-counts[concept], concept[1]))[:MOST]
    return environment.get_template("atlas.html.jinja").render(
        dissection=dissection,
        cards=cards,
        columns=max([len(card.pictures) for card in cards]) or 1,
        threshold=threshold,
        named=len(named),
        different=len(counts),
        categories=[Bar(category, "", count, firsts.get(category)) for category, count in detectors.items()],
        concepts=[Bar(*concept, counts[concept], first[concept]) for concept in most],
        colours={category: i % COLOURS for i, category in enumerate(dissection.categories)},
    )


def fixed(value: float, digits: int = 3) -> str:
    """An IoU to read: three digits tell which is above 0.04."""
    return f"{value:.{digits}f}"


def short(value: float) -> str:
    """An activation to read: three digits, and a true minus sign."""
    return f"{value:#.3g}".removesuffix(".").replace("-", "−")
