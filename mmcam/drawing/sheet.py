"""What a figure holds, before it is set: panels in rows, titles, and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from mmcam.drawing.overlay import ALPHA, COLOUR_MAP, Box

Key = Literal["outside", "box", "peak", "signed"]

SIDE = 1.6
"""Inches of a panel's longer side: four to a page of text."""

DPI = 300
"""Pixels an inch of a printed picture, as journals ask for; a smaller picture is kept as it is."""

SCREEN = 140
"""Pixels an inch on a screen."""


@dataclass(frozen=True)
class Panel:
    """A picture with what is said of it.

    Attributes:
        picture: RGB, no larger than it will be printed (see `fit`).
        title: below it, at the left.
        note: below it, at the right, small and grey.
        size: (width, height) of the picture that `box` and `peak` are given in; default that of `picture`.
        box: (left, top, right, bottom), drawn as a frame.
        peak: (x, y), drawn as a cross.
    """

    picture: Image.Image
    title: str = ""
    note: str = ""
    size: tuple[int, int] | None = None
    box: Box | None = None
    peak: tuple[int, int] | None = None


@dataclass(frozen=True)
class Block:
    """Rows of panels under one heading.

    Attributes:
        rows: None leaves a place empty.
        heading: above them.
        subtitle: below the heading, small and grey.
        row_titles: one a row, at its left, reading upwards.
        column_titles: one a column, above it.
    """

    rows: Sequence[Sequence[Panel | None]]
    heading: str = ""
    subtitle: str = ""
    row_titles: Sequence[str] = ()
    column_titles: Sequence[str] = ()


@dataclass(frozen=True)
class Bar:
    """The colours of maps, from 0.

    Attributes:
        top: what the last colour stands for.
        cmap: a matplotlib colour map.
        alpha: the opacity of the last colour.
    """

    top: str
    cmap: str = COLOUR_MAP
    alpha: float = ALPHA


@dataclass(frozen=True)
class Sheet:
    """A figure's contents, from top to bottom.

    Attributes:
        blocks: the panels.
        heading: above all.
        subtitle: below the heading, small and grey.
        bars: of the colours in use.
        keys: marks that are explained, each with its text.
        remarks: sentences at the end.
    """

    blocks: Sequence[Block]
    heading: str = ""
    subtitle: str = ""
    bars: Sequence[Bar] = ()
    keys: Sequence[tuple[Key, str]] = ()
    remarks: Sequence[str] = ()


def in_rows(panels: Sequence[Panel], columns: int) -> list[Sequence[Panel]]:
    """Panels in rows of at most so many."""
    return [panels[start : start + columns] for start in range(0, len(panels), columns)]


def fit(picture: Image.Image, pixels: int) -> Image.Image:
    """A picture whose longer side has at most so many pixels; it is never enlarged."""
    if max(picture.size) <= pixels:
        return picture
    return picture.resize(fitted_size(picture.size, pixels), Image.Resampling.LANCZOS, reducing_gap=3.0)


def fitted_size(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """The size at which the longer side has so many pixels."""
    ratio = pixels / max(size)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
