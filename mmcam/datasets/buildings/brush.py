"""A brush that paints the picture and, at once, what is visible of the damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from mmcam.datasets.buildings.house import RGB
from mmcam.datasets.vignettes.truth import SIZE

CANVAS: Final = 2 * SIZE
"""Pixels of the canvas's sides; it is reduced to half."""

Point = tuple[float, float]


class Brush:
    """Paints in a house's own coordinates, in which the middle of its foot is (0, 0) and up is negative.

    Attributes:
        canvas: the picture, twice as large.
        damage: white where damage is seen; what is painted over it later hides it.
    """

    def __init__(self, scale: float, foot: Point) -> None:
        self.canvas = Image.new("RGB", (CANVAS, CANVAS))
        self.damage = Image.new("L", (CANVAS, CANVAS))
        self._scale, self._foot = scale, foot
        self._draw, self._mask = ImageDraw.Draw(self.canvas), ImageDraw.Draw(self.damage)

    def polygon(self, points: Sequence[Point], tone: RGB, damaged: bool = False) -> None:
        """Fill a polygon."""
        xy = self.placed(points)
        self._draw.polygon(xy, fill=tone)
        self._mask.polygon(xy, fill=255 if damaged else 0)

    def box(self, left: float, top: float, right: float, bottom: float, tone: RGB, damaged: bool = False) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], tone, damaged)

    def line(self, points: Sequence[Point], tone: RGB, width: float, damaged: bool = False) -> None:
        """Draw a line, at least one pixel of the picture wide."""
        xy, pen = self.placed(points), max(2, round(width * self._scale))
        self._draw.line(xy, fill=tone, width=pen, joint="curve")
        self._mask.line(xy, fill=255 if damaged else 0, width=pen, joint="curve")

    def texture(self, points: Sequence[Point], tone: RGB) -> None:
        """Draw a thin line of a surface, which hides nothing."""
        self._draw.line(self.placed(points), fill=tone, width=1)

    def shade(self, points: Sequence[Point], tone: RGB, opacity: float) -> None:
        """Tint a polygon, which hides nothing."""
        veil = Image.new("L", self.canvas.size)
        ImageDraw.Draw(veil).polygon(self.placed(points), fill=round(255 * opacity))
        self.canvas.paste(tone, (0, 0), veil)

    def placed(self, points: Sequence[Point]) -> list[Point]:
        """Points on the canvas."""
        return [(x * self._scale + self._foot[0], y * self._scale + self._foot[1]) for x, y in points]
