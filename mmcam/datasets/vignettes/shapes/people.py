"""A person, seen from the front."""

from mmcam.datasets.vignettes.shapes.geometry import box, curve, oval, rounded, stroke
from mmcam.datasets.vignettes.shapes.piece import HAIR, INK, MAIN, PINK, SKIN, TURQUOISE, Piece, Shape

_TROUSERS = (86, 92, 118)

PERSON = Shape(
    "person",
    (
        Piece("hair", HAIR, oval(0, -0.29, 0.185, 0.19)),
        Piece("leg", _TROUSERS, box(-0.14, 0.2, -0.015, 0.5, 0.03)),
        Piece("leg", _TROUSERS, box(0.015, 0.2, 0.14, 0.5, 0.03)),
        Piece("arm", SKIN, stroke(0.085, (-0.2, 0.0), (-0.29, 0.17))),
        Piece("arm", SKIN, stroke(0.085, (0.2, 0.0), (0.31, -0.15))),
        Piece("shirt", MAIN, rounded(0.06, (-0.16, -0.14), (-0.28, 0.06), (-0.18, 0.12), (-0.14, 0.0))),
        Piece("shirt", MAIN, rounded(0.06, (0.16, -0.14), (0.3, -0.06), (0.22, 0.07), (0.14, 0.06))),
        Piece("shirt", MAIN, rounded(0.05, (-0.17, -0.15), (0.17, -0.15), (0.23, 0.29), (-0.23, 0.29))),
        Piece("head", SKIN, oval(0, -0.27, 0.15, 0.16)),
        Piece(
            "hair",
            HAIR,
            curve((-0.17, -0.26), (-0.14, -0.42), (0.0, -0.48), (0.14, -0.42), (0.17, -0.26), (0.04, -0.36)),
        ),
        Piece("head", INK, oval(-0.055, -0.25, 0.021, 0.028), False),
        Piece("head", INK, oval(0.055, -0.25, 0.021, 0.028), False),
        Piece("head", INK, stroke(0.018, (-0.05, -0.185), (0.0, -0.165), (0.05, -0.185)), False),
        Piece("hat", TURQUOISE, rounded(0.06, (-0.15, -0.37), (-0.12, -0.58), (0.12, -0.58), (0.15, -0.37))),
        Piece("hat", PINK, box(-0.15, -0.45, 0.15, -0.38)),
        Piece("hat", TURQUOISE, oval(0, -0.37, 0.26, 0.045)),
    ),
    optional="hat",
)
