"""A thing is a list of pieces, drawn back to front; a piece is a polygon that belongs to a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmcam.datasets.vignettes.shapes.geometry import Points

RGB = tuple[int, int, int]

MAIN = "main"  # the thing's colour and texture
SHADE = "shade"  # the thing's colour, darker, without texture
SKIN = "skin"  # one of a few skin tones
HAIR = "hair"  # one of a few hair tones

# Tones which no colour word names, so that an accessory never makes "is there a red dog" a riddle.
PINK: RGB = (255, 118, 178)
TURQUOISE: RGB = (28, 190, 190)
INK: RGB = (44, 38, 50)
CREAM: RGB = (250, 240, 214)
GLASS: RGB = (196, 228, 240)
BROWN: RGB = (128, 88, 62)
GOLD: RGB = (232, 182, 84)
STEEL: RGB = (168, 172, 184)
SLATE: RGB = (118, 84, 84)
LEAF: RGB = (66, 128, 74)


@dataclass(frozen=True, eq=False)
class Piece:
    """A polygon (k, 2) in unit coordinates; `paint` is a tone or one of MAIN, SHADE, SKIN, HAIR."""

    part: str
    paint: str | RGB
    points: Points
    outlined: bool = True


@dataclass(frozen=True, eq=False)
class Outlines:
    """The pieces of a thing with or without its optional part, as one array of points (p, 2)."""

    pieces: tuple[Piece, ...]
    optional: str | None

    @cached_property
    def points(self) -> Points:
        """All points of all pieces, piece after piece."""
        return np.concatenate([piece.points for piece in self.pieces])

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each piece begins and ends in `points`."""
        ends = np.cumsum([len(piece.points) for piece in self.pieces]).tolist()
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    @cached_property
    def optional_points(self) -> Points | None:
        """The points of the optional part, None where the thing has none."""
        chosen = [piece.points for piece in self.pieces if piece.part == self.optional]
        return np.concatenate(chosen) if chosen else None


@dataclass(frozen=True, eq=False)
class Shape:
    """A kind of thing; the longer side of its box without the optional part is 1, its centre (0, 0)."""

    kind: str
    pieces: tuple[Piece, ...]
    optional: str | None = None

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts every thing of this kind has."""
        return tuple(dict.fromkeys(p.part for p in self.pieces if p.part != self.optional))

    @cached_property
    def coloured_parts(self) -> tuple[str, ...]:
        """The parts which the thing's colour and texture fill."""
        return tuple(dict.fromkeys(p.part for p in self.pieces if p.paint == MAIN))

    def outlines(self, with_optional: bool) -> Outlines:
        """The pieces to draw, back to front."""
        return self._full if with_optional and self.optional else self._bare

    @cached_property
    def _full(self) -> Outlines:
        return Outlines(self._fitted, self.optional)

    @cached_property
    def _bare(self) -> Outlines:
        return Outlines(tuple(p for p in self._fitted if p.part != self.optional), None)

    @cached_property
    def _fitted(self) -> tuple[Piece, ...]:
        points = np.concatenate([p.points for p in self.pieces if p.part != self.optional])
        low, high = points.min(axis=0), points.max(axis=0)
        middle, size = (low + high) / 2, float((high - low).max())
        return tuple(Piece(p.part, p.paint, (p.points - middle) / size, p.outlined) for p in self.pieces)


def placed(points: Points, size: float, angle: float, mirrored: bool, x: float, y: float) -> Points:
    """`points` of a shape in pixels: mirrored, made `size` long, turned by `angle` degrees, moved."""
    c, s = math.cos(math.radians(angle)) * size, math.sin(math.radians(angle)) * size
    across, down = points[:, 0] * (-1.0 if mirrored else 1.0), points[:, 1]
    # Written out: a matrix product may round differently from machine to machine.
    return np.stack([across * c - down * s + x, across * s + down * c + y], axis=1)
