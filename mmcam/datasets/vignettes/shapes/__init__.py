"""What the fourteen kinds of things look like: polygons with part names, in a unit square."""

from mmcam.datasets.vignettes.shapes.animals import BIRD, CAT, DOG, FISH
from mmcam.datasets.vignettes.shapes.objects import BALL, HOUSE, UMBRELLA
from mmcam.datasets.vignettes.shapes.people import PERSON
from mmcam.datasets.vignettes.shapes.piece import Outlines, Piece, Shape
from mmcam.datasets.vignettes.shapes.plants import FLOWER, TREE
from mmcam.datasets.vignettes.shapes.vehicles import BOAT, BUS, CAR, PLANE

SHAPES: dict[str, Shape] = {
    shape.kind: shape
    for shape in (
        DOG,
        CAT,
        BIRD,
        FISH,
        CAR,
        BUS,
        BOAT,
        PLANE,
        HOUSE,
        TREE,
        FLOWER,
        PERSON,
        BALL,
        UMBRELLA,
    )
}

__all__ = ["SHAPES", "Outlines", "Piece", "Shape"]
