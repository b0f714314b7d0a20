"""Tree and flower."""

import math

from mmcam.datasets.vignettes.shapes.geometry import bumpy, curve, oval, polygon, stroke
from mmcam.datasets.vignettes.shapes.piece import BROWN, GOLD, LEAF, MAIN, PINK, Piece, Shape

TREE = Shape(
    "tree",
    (
        Piece(
            "trunk", BROWN, polygon((-0.08, 0.05), (0.08, 0.05), (0.1, 0.42), (0.16, 0.5), (-0.16, 0.5), (-0.1, 0.42))
        ),
        Piece("crown", MAIN, bumpy(0, -0.15, 0.38, 0.34, bumps=8, depth=0.07)),
        *(
            Piece("fruit", PINK, oval(x, y, 0.072))
            for x, y in ((-0.2, -0.2), (0.0, -0.32), (0.2, -0.2), (-0.1, 0.02), (0.12, 0.0))
        ),
    ),
    optional="fruit",
)

_PETALS = [math.radians(20 + 360 * i / 6) for i in range(6)]

FLOWER = Shape(
    "flower",
    (
        Piece("stem", LEAF, stroke(0.07, (0, 0.0), (0.02, 0.28), (0, 0.5))),
        Piece("leaf", (118, 190, 92), curve((0.0, 0.44), (0.12, 0.26), (0.34, 0.2), (0.24, 0.38))),
        Piece("leaf", (118, 190, 92), curve((0.0, 0.5), (-0.12, 0.32), (-0.34, 0.26), (-0.24, 0.44))),
        *(
            Piece("petal", MAIN, oval(0.21 * math.cos(t), -0.17 + 0.21 * math.sin(t), 0.16, 0.13, math.degrees(t)))
            for t in _PETALS
        ),
        Piece("centre", GOLD, oval(0, -0.17, 0.12)),
    ),
    optional="leaf",
)
