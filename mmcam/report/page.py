"""The cards of a dissected layer's units as one HTML page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mmcam.datasets.concepts import Concept
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names, UnitName
from mmcam.report.templates import rendered

MOST = 10  # concepts in the chart of those with most units
COLOURS = 8  # of categories, in the style sheet


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


def card_of(dissection: Dissection, unit: int, names: Names, threshold: float, pictures: tuple[Shown, ...]) -> Card:
    """What is shown of a unit, with the pictures in which it is strongest; none for one that is never active."""
    best = {category: dissection.best(unit, category) for category in dissection.categories}
    return Card(
        unit=unit,
        name=names.units.get(unit),
        iou=max(iou for _, iou in best.values()),
        best={category: found if found[1] > 0 else None for category, found in best.items()},
        found=tuple(concept.name for concept, iou in best.values() if iou > threshold),
        threshold=float(dissection.thresholds[unit]),
        dead=not pictures,
        pictures=pictures,
    )


def page(dissection: Dissection, cards: list[Card], threshold: float) -> str:
    """The HTML of all cards, in their order, with charts of how many units each category and concept has."""
    named = [(card.unit, card.name) for card in cards if card.name is not None]  # the best first
    counts = Counter((name.category, name.name) for _, name in named)
    first = {(name.category, name.name): unit for unit, name in reversed(named)}
    firsts = {name.category: unit for unit, name in reversed(named)}
    detectors = dissection.detectors(threshold)
    most = sorted(counts, key=lambda concept: (-counts[concept], concept[1]))[:MOST]
    return rendered(
        "report/atlas.html.jinja",
        {"fixed": fixed, "short": short},
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
