"""Dog, cat, bird and fish."""

from mmcam.datasets.vignettes.shapes.geometry import box, curve, oval, polygon, stroke
from mmcam.datasets.vignettes.shapes.piece import CREAM, GOLD, INK, MAIN, PINK, SHADE, TURQUOISE, Piece, Shape

_WHISKER = (90, 84, 96)

DOG = Shape(
    "dog",
    (
        Piece("tail", MAIN, stroke(0.085, (-0.33, 0.02), (-0.44, -0.08), (-0.47, -0.25))),
        Piece("leg", SHADE, box(-0.2, 0.12, -0.09, 0.4, 0.04)),
        Piece("leg", SHADE, box(0.0, 0.12, 0.11, 0.4, 0.04)),
        Piece(
            "body",
            MAIN,
            curve(
                (-0.37, 0.02),
                (-0.24, -0.07),
                (0.0, -0.07),
                (0.17, -0.12),
                (0.27, 0.0),
                (0.24, 0.17),
                (0.04, 0.22),
                (-0.2, 0.22),
                (-0.36, 0.2),
            ),
        ),
        Piece("leg", MAIN, box(-0.35, 0.14, -0.22, 0.42, 0.05)),
        Piece("leg", MAIN, box(0.11, 0.12, 0.24, 0.42, 0.05)),
        Piece("collar", TURQUOISE, stroke(0.11, (0.04, -0.1), (0.16, 0.02), (0.34, -0.01))),
        Piece("collar", GOLD, oval(0.25, 0.08, 0.055)),
        Piece(
            "head",
            MAIN,
            curve(
                (0.08, -0.22),
                (0.15, -0.38),
                (0.28, -0.42),
                (0.38, -0.33),
                (0.5, -0.26),
                (0.53, -0.17),
                (0.46, -0.1),
                (0.3, -0.05),
                (0.14, -0.08),
            ),
        ),
        Piece("head", INK, oval(0.51, -0.235, 0.04, 0.034), False),
        Piece("head", CREAM, oval(0.31, -0.28, 0.042), False),
        Piece("head", INK, oval(0.32, -0.28, 0.028), False),
        Piece("ear", SHADE, oval(0.13, -0.21, 0.075, 0.16, 14)),
    ),
    optional="collar",
)

CAT = Shape(
    "cat",
    (
        Piece("tail", MAIN, stroke(0.1, (0.16, 0.42), (0.36, 0.4), (0.43, 0.2), (0.36, 0.03))),
        Piece(
            "body",
            MAIN,
            curve(
                (0.0, -0.12),
                (0.17, 0.0),
                (0.26, 0.28),
                (0.22, 0.46),
                (0.0, 0.5),
                (-0.22, 0.46),
                (-0.26, 0.28),
                (-0.17, 0.0),
            ),
        ),
        Piece("leg", MAIN, box(-0.13, 0.2, -0.01, 0.5, 0.05)),
        Piece("leg", MAIN, box(0.01, 0.2, 0.13, 0.5, 0.05)),
        Piece("ear", MAIN, polygon((-0.27, -0.22), (-0.26, -0.53), (-0.05, -0.38))),
        Piece("ear", MAIN, polygon((0.27, -0.22), (0.26, -0.53), (0.05, -0.38))),
        Piece("ear", (244, 178, 188), polygon((-0.23, -0.34), (-0.22, -0.46), (-0.13, -0.38)), False),
        Piece("ear", (244, 178, 188), polygon((0.23, -0.34), (0.22, -0.46), (0.13, -0.38)), False),
        Piece("head", MAIN, oval(0, -0.23, 0.29, 0.2)),
        Piece("head", CREAM, oval(-0.11, -0.26, 0.055, 0.06), False),
        Piece("head", CREAM, oval(0.11, -0.26, 0.055, 0.06), False),
        Piece("head", INK, oval(-0.105, -0.26, 0.03, 0.05), False),
        Piece("head", INK, oval(0.105, -0.26, 0.03, 0.05), False),
        Piece("head", (238, 140, 150), polygon((-0.035, -0.185), (0.035, -0.185), (0, -0.145)), False),
        Piece("head", _WHISKER, stroke(0.012, (0.12, -0.15), (0.36, -0.19)), False),
        Piece("head", _WHISKER, stroke(0.012, (0.12, -0.13), (0.36, -0.11)), False),
        Piece("head", _WHISKER, stroke(0.012, (-0.12, -0.15), (-0.36, -0.19)), False),
        Piece("head", _WHISKER, stroke(0.012, (-0.12, -0.13), (-0.36, -0.11)), False),
        Piece("bow", PINK, polygon((0, 0.02), (-0.2, -0.08), (-0.2, 0.14))),
        Piece("bow", PINK, polygon((0, 0.02), (0.2, -0.08), (0.2, 0.14))),
        Piece("bow", PINK, oval(0, 0.025, 0.055)),
    ),
    optional="bow",
)

BIRD = Shape(
    "bird",
    (
        Piece("tail", SHADE, polygon((-0.54, -0.06), (-0.5, 0.16), (-0.22, 0.2), (-0.2, 0.0))),
        Piece("leg", GOLD, stroke(0.045, (-0.02, 0.24), (-0.02, 0.45), (0.07, 0.46))),
        Piece("leg", GOLD, stroke(0.045, (0.13, 0.22), (0.13, 0.45), (0.22, 0.46))),
        Piece("crest", PINK, oval(0.09, -0.42, 0.05, 0.12, -42)),
        Piece("crest", PINK, oval(0.18, -0.48, 0.05, 0.13, -12)),
        Piece("crest", PINK, oval(0.28, -0.47, 0.05, 0.12, 18)),
        Piece("beak", GOLD, polygon((0.34, -0.33), (0.58, -0.22), (0.35, -0.14))),
        Piece(
            "body",
            MAIN,
            curve(
                (-0.36, 0.06),
                (-0.18, -0.06),
                (0.0, -0.14),
                (0.06, -0.32),
                (0.21, -0.42),
                (0.37, -0.34),
                (0.4, -0.16),
                (0.37, 0.08),
                (0.22, 0.27),
                (0.0, 0.32),
                (-0.22, 0.25),
            ),
        ),
        Piece("body", CREAM, oval(0.26, -0.25, 0.06), False),
        Piece("body", INK, oval(0.275, -0.25, 0.036), False),
        Piece(
            "wing", SHADE, curve((-0.34, 0.1), (-0.14, -0.01), (0.08, -0.02), (0.12, 0.09), (-0.02, 0.18), (-0.2, 0.2))
        ),
    ),
    optional="crest",
)

FISH = Shape(
    "fish",
    (
        Piece(
            "tail", SHADE, curve((-0.2, 0.0), (-0.36, -0.16), (-0.54, -0.25), (-0.46, 0), (-0.54, 0.25), (-0.36, 0.16))
        ),
        Piece("fin", SHADE, curve((-0.2, -0.15), (-0.12, -0.34), (0.08, -0.36), (0.26, -0.18), (0.0, -0.12))),
        Piece("fin", SHADE, curve((-0.1, 0.16), (-0.12, 0.34), (0.06, 0.3), (0.16, 0.18))),
        Piece(
            "body",
            MAIN,
            curve(
                (0.5, 0.0),
                (0.4, -0.15),
                (0.14, -0.26),
                (-0.14, -0.19),
                (-0.32, 0.0),
                (-0.14, 0.19),
                (0.14, 0.26),
                (0.4, 0.15),
            ),
        ),
        Piece("fin", SHADE, curve((0.1, 0.02), (-0.02, -0.02), (-0.1, 0.07), (0.0, 0.13))),
        Piece("eye", CREAM, oval(0.31, -0.05, 0.072)),
        Piece("eye", INK, oval(0.325, -0.05, 0.04), False),
        Piece("body", INK, stroke(0.018, (0.47, 0.06), (0.41, 0.075), (0.36, 0.06)), False),
    ),
)
