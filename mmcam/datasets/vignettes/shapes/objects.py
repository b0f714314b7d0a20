"""House, ball and umbrella."""

import math

import numpy as np

from mmcam.datasets.vignettes.shapes.geometry import Points, box, oval, rounded, star, stroke
from mmcam.datasets.vignettes.shapes.piece import (
    BROWN,
    CREAM,
    GLASS,
    GOLD,
    INK,
    MAIN,
    PINK,
    SHADE,
    SLATE,
    TURQUOISE,
    Piece,
    Shape,
)

HOUSE = Shape(
    "house",
    (
        Piece("chimney", PINK, box(0.17, -0.5, 0.33, -0.1)),
        Piece("chimney", TURQUOISE, box(0.14, -0.56, 0.36, -0.47)),
        Piece("wall", MAIN, box(-0.37, -0.1, 0.37, 0.46)),
        Piece("roof", SLATE, rounded(0.05, (-0.52, -0.04), (0.0, -0.48), (0.52, -0.04))),
        Piece("door", BROWN, box(-0.09, 0.16, 0.09, 0.46, 0.03)),
        Piece("door", GOLD, oval(0.05, 0.32, 0.022), False),
        Piece("window", GLASS, box(-0.31, 0.04, -0.15, 0.22)),
        Piece("window", GLASS, box(0.15, 0.04, 0.31, 0.22)),
        Piece("window", CREAM, stroke(0.02, (-0.23, 0.05), (-0.23, 0.21)), False),
        Piece("window", CREAM, stroke(0.02, (0.23, 0.05), (0.23, 0.21)), False),
        Piece("window", GLASS, oval(0, -0.22, 0.075)),
    ),
    optional="chimney",
)

BALL = Shape(
    "ball",
    (
        Piece("body", MAIN, oval(0, 0, 0.5, n=40)),
        Piece("seam", INK, stroke(0.028, (-0.34, -0.36), (-0.2, 0.0), (-0.34, 0.36)), False),
        Piece("seam", INK, stroke(0.028, (0.34, -0.36), (0.2, 0.0), (0.34, 0.36)), False),
        Piece("star", TURQUOISE, star(0, 0.01, 0.3)),
    ),
    optional="star",
)


def _canopy() -> Points:
    """A dome whose lower edge hangs in four scallops."""
    t = np.linspace(math.pi, 2 * math.pi, 24)
    dome = np.stack([0.52 * np.cos(t), 0.02 + 0.46 * np.sin(t)], axis=1)
    s = np.linspace(0, math.pi, 7)[1:]
    scallops = [np.stack([x + 0.13 * np.cos(s), 0.02 - 0.07 * np.sin(s)], axis=1) for x in (0.39, 0.13, -0.13, -0.39)]
    return np.concatenate([dome, *scallops])


UMBRELLA = Shape(
    "umbrella",
    (
        Piece("tip", BROWN, stroke(0.04, (0, -0.52), (0, -0.4))),
        Piece("handle", BROWN, stroke(0.05, (0, -0.1), (0, 0.2), (0.0, 0.4), (0.07, 0.48), (0.15, 0.45), (0.17, 0.37))),
        Piece("canopy", MAIN, _canopy()),
        Piece("canopy", SHADE, stroke(0.018, (0, -0.43), (-0.19, -0.22), (-0.26, 0.0)), False),
        Piece("canopy", SHADE, stroke(0.018, (0, -0.43), (0.19, -0.22), (0.26, 0.0)), False),
        Piece("canopy", SHADE, stroke(0.018, (0, -0.43), (0.0, 0.0)), False),
    ),
)
