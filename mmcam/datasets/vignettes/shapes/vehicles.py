"""Car, bus, boat and plane; they drive, sail and fly to the right."""

from mmcam.datasets.vignettes.shapes.geometry import box, curve, oval, polygon, rounded, stroke
from mmcam.datasets.vignettes.shapes.piece import (
    BROWN,
    CREAM,
    GLASS,
    INK,
    MAIN,
    PINK,
    SHADE,
    STEEL,
    TURQUOISE,
    Piece,
    Shape,
)

_TYRE = (58, 56, 64)


def _wheel(x: float, y: float, radius: float) -> tuple[Piece, Piece]:
    return (
        Piece("wheel", _TYRE, oval(x, y, radius)),
        Piece("wheel", STEEL, oval(x, y, radius * 0.48), False),
    )


CAR = Shape(
    "car",
    (
        Piece("rack", INK, stroke(0.03, (-0.17, -0.36), (-0.17, -0.26)), False),
        Piece("rack", INK, stroke(0.03, (0.1, -0.36), (0.1, -0.26)), False),
        Piece("rack", TURQUOISE, box(-0.26, -0.5, 0.08, -0.34, 0.04)),
        Piece("rack", PINK, box(0.08, -0.45, 0.2, -0.34, 0.03)),
        Piece("rack", STEEL, box(-0.28, -0.35, 0.22, -0.31)),
        Piece(
            "body",
            MAIN,
            rounded(
                0.09,
                (-0.5, 0.21),
                (-0.5, -0.02),
                (-0.36, -0.05),
                (-0.25, -0.29),
                (0.14, -0.29),
                (0.29, -0.05),
                (0.5, 0.0),
                (0.5, 0.21),
            ),
        ),
        Piece("window", GLASS, rounded(0.03, (-0.28, -0.05), (-0.2, -0.23), (-0.05, -0.23), (-0.05, -0.05))),
        Piece("window", GLASS, rounded(0.03, (0.0, -0.05), (0.0, -0.23), (0.11, -0.23), (0.21, -0.05))),
        Piece("body", CREAM, oval(0.46, 0.06, 0.035, 0.045)),
        *_wheel(-0.27, 0.2, 0.13),
        *_wheel(0.27, 0.2, 0.13),
    ),
    optional="rack",
)

BUS = Shape(
    "bus",
    (
        Piece("body", MAIN, box(-0.5, -0.36, 0.5, 0.24, 0.07)),
        *(Piece("window", GLASS, box(x, -0.28, x + 0.15, -0.09, 0.02)) for x in (-0.45, -0.26, -0.07, 0.12)),
        Piece("window", GLASS, rounded(0.03, (0.33, -0.28), (0.5, -0.28), (0.5, -0.04), (0.33, -0.04))),
        Piece("body", CREAM, oval(0.46, 0.12, 0.035, 0.04)),
        *_wheel(-0.28, 0.25, 0.11),
        *_wheel(0.27, 0.25, 0.11),
    ),
)

BOAT = Shape(
    "boat",
    (
        Piece("flag", PINK, polygon((0.0, -0.62), (-0.27, -0.52), (0.0, -0.42))),
        Piece("flag", BROWN, stroke(0.04, (0.0, -0.62), (0.0, -0.4))),
        Piece("mast", BROWN, stroke(0.045, (0.0, -0.45), (0.0, 0.2))),
        Piece(
            "sail",
            CREAM,
            curve((-0.04, -0.36), (-0.05, -0.1), (-0.05, 0.12), (-0.2, 0.13), (-0.36, 0.12), (-0.18, -0.1)),
        ),
        Piece("sail", MAIN, rounded(0.03, (0.045, -0.44), (0.24, -0.16), (0.45, 0.12), (0.045, 0.12))),
        Piece("hull", MAIN, rounded(0.06, (-0.52, 0.18), (0.52, 0.18), (0.36, 0.44), (-0.36, 0.44))),
        Piece("hull", BROWN, box(-0.54, 0.16, 0.54, 0.22, 0.02)),
    ),
    optional="flag",
)

PLANE = Shape(
    "plane",
    (
        Piece("wing", SHADE, polygon((0.16, -0.1), (-0.04, -0.1), (-0.16, -0.34), (-0.06, -0.34))),
        Piece("tail", MAIN, rounded(0.03, (-0.53, -0.4), (-0.4, -0.4), (-0.2, -0.08), (-0.48, -0.02))),
        Piece(
            "body",
            MAIN,
            curve(
                (0.53, 0.03),
                (0.44, -0.11),
                (0.2, -0.16),
                (-0.2, -0.13),
                (-0.5, -0.08),
                (-0.53, -0.03),
                (-0.3, 0.12),
                (0.0, 0.17),
                (0.3, 0.17),
                (0.47, 0.12),
            ),
        ),
        Piece("tail", SHADE, rounded(0.02, (-0.36, -0.03), (-0.5, -0.03), (-0.6, 0.07), (-0.5, 0.07))),
        *(Piece("window", GLASS, oval(x, -0.05, 0.034, 0.04)) for x in (-0.22, -0.1, 0.02, 0.14)),
        Piece("window", GLASS, curve((0.3, -0.1), (0.41, -0.09), (0.46, 0.0), (0.3, 0.0))),
        Piece("wing", MAIN, rounded(0.03, (0.16, 0.05), (-0.1, 0.05), (-0.36, 0.4), (-0.22, 0.4))),
    ),
)
