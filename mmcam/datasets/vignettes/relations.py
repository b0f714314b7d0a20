"""When one thing is left of, right of, above, below or next to another."""

from __future__ import annotations

from mmcam.datasets.vignettes.truth import Thing

RELATIONS = ("left", "right", "above", "below", "next")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}

CLEARLY = 20.0
"""Centres closer than this, in pixels along an axis, are neither left nor right, above nor below."""
NEAR = 10
"""Things whose boxes are at most this many pixels apart are next to each other."""


def direction(a: Thing, b: Thing) -> str | None:
    """Where `a` is, seen from `b`: the axis on which their centres differ more decides; None if neither clearly."""
    dx, dy = a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]
    if max(abs(dx), abs(dy)) <= CLEARLY:
        return None
    if abs(dx) >= abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def near(a: Thing, b: Thing) -> bool:
    """Whether `a` and `b` are next to each other: their boxes touch, overlap or nearly so."""
    across = max(a.box[0], b.box[0]) - min(a.box[2], b.box[2])
    down = max(a.box[1], b.box[1]) - min(a.box[3], b.box[3])
    return max(across, down) <= NEAR


def stands(a: Thing, relation: str, b: Thing) -> bool:
    """Whether `a` is `relation` of (or next to) `b`."""
    return near(a, b) if relation == "next" else direction(a, b) == relation
