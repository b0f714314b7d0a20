"""A page of pictures, each with two maps side by side: grouped, sorted, and walked through by keys.

What pages of failures, attacks and choices have in common. The page is one file that needs nothing
else, no network either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from mmcam.drawing.saving import save_as
from mmcam.evaluation.uncertainty import Mean
from mmcam.report.explained import fixed, map_look, ramp
from mmcam.report.spotlight import data_uri, thumbnail
from mmcam.report.templates import rendered
from mmcam.version import __version__

SIDE, QUALITY = 320, 78
"""Of the pictures on the page: at most so many pixels a side, about 12 kB each."""
PAGES, INSTEAD = (".html", ".htm"), "a page is an .html file"
"""Suffixes, and what is said of others."""
LONG = 60
"""Letters of a name."""


@dataclass(frozen=True)
class Pair:
    """A picture with two maps.

    Attributes:
        name: of the picture.
        names: what each map is of.
        figures: what is told of each, as its probability; "" for nothing.
        images: the picture as a data URI, and that of the second map where it is another one.
        size: (width, height) of them.
        maps: as the browser reads them (see `mmcam.report.maps.drawn`); None of none.
        facts: a line below.
        notes: sentences below that.
        group: number of its group.
        place: short name of where the maps lie.
        keys: what it is sorted by, None for what has no figure.
    """

    name: str
    names: tuple[str, str]
    figures: tuple[str, str]
    images: tuple[str, str]
    size: tuple[int, int]
    maps: tuple[Any, Any]
    facts: str
    notes: tuple[str, ...] = ()
    group: int = 0
    place: str = ""
    keys: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Page:
    """What such a page says.

    Attributes:
        command: that made it.
        title: above it.
        sides: what the left and the right map are.
        sorts: what the keys of a pair are called.
        grouped_by: what a group has in common.
        groups: (left, right, how many), the first group first.
        places: where maps may lie, by their short names.
        none: is said where there is no pair.
        skipped: what was left out, and why.
        pairs: the cards.
    """

    command: str
    title: str
    sides: tuple[str, str]
    sorts: tuple[str, ...]
    grouped_by: str
    groups: tuple[tuple[str, str, int], ...]
    places: dict[str, str]
    none: str
    skipped: tuple[tuple[str, str], ...] = ()
    pairs: tuple[Pair, ...] = field(default=())


def write_page(path: Path, template: str, page: Page, **panels: Any) -> Path:
    """Write a page; it appears whole or not at all, and one that is there is replaced.

    Args:
        path: of the page.
        template: that extends ``diagnosis/pairs.html.jinja``.
        page: what it says.
        panels: what its own part shows.

    Raises:
        ExplainError: another suffix than .html, or a place where nothing can be written.
    """

    def write(file: IO[bytes]) -> None:
        file.write(html_of(template, page, **panels).encode("utf-8", "backslashreplace"))

    return save_as(path, dict.fromkeys(PAGES, write), INSTEAD)


def html_of(template: str, page: Page, **panels: Any) -> str:
    """The HTML of a page (see `write_page`)."""
    filters: dict[str, Callable[..., str]] = {"fixed": fixed, "percent": percent, "figure": figure}
    shown = {name: getattr(page, name) for name in ("command", "title", "sides", "sorts", "grouped_by", "groups")}
    shown |= {name: getattr(page, name) for name in ("places", "none", "skipped")}
    data = {**map_look(), "cards": [pair.maps for pair in page.pairs]}
    return rendered(
        template, filters, **shown, cards=page.pairs, gradient=ramp(), data=data, version=__version__, **panels
    )


def small(picture: Image.Image) -> tuple[str, tuple[int, int]]:
    """A picture as it stands on a page, and its (width, height)."""
    reduced = thumbnail(picture, SIDE)
    return data_uri(reduced, QUALITY), reduced.size


def short(name: str) -> str:
    """A name to read: long ones are cut."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def told(probability: float | None) -> str:
    """A probability to read; "" where nothing says."""
    if probability is None:
        return ""
    return f"{probability:.2g}" if probability < 0.01 else f"{min(probability, 0.9999):.2f}"


def percent(value: Mean) -> str:
    """A share in percent, with its standard error if there is one; "–" where nothing was measured."""
    return _with_error(value, 100, 0, " %")


def figure(value: Mean) -> str:
    """The same of a figure between −1 and 1."""
    return _with_error(value, 1, 2, "")


def _with_error(value: Mean, scale: int, digits: int, unit: str) -> str:
    if not value.n:
        return "–"
    error = "" if np.isnan(value.standard_error) else f" ± {fixed(scale * value.standard_error, max(digits, 1))}"
    return f"{fixed(scale * value.value, digits)}{error}{unit}"
