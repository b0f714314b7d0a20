"""The world: its words, its rules, and the truth that follows from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.shapes import SHAPES
from mmcam.datasets.vignettes.shapes.piece import placed
from mmcam.datasets.vignettes.truth import SIZE, Box, Thing, Truth

KINDS = tuple(SHAPES)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
TEXTURES = ("plain", "striped", "dotted", "checkered")
SCALES = ("small", "large")
SCENES = ("meadow", "beach", "sea", "street", "snow", "night", "desert")
OPTIONAL_PARTS = {kind: shape.optional for kind, shape in SHAPES.items() if shape.optional}

SPLITS = {"train": 0, "val": 10_000_000, "test": 20_000_000, "heldout": 30_000_000}
"""The first seed of each split; a split has `SPLIT_SIZE` seeds."""
SPLIT_SIZE = 10_000_000

HELD_OUT_COLOURS = (
    ("boat", "purple"),
    ("dog", "green"),
    ("car", "white"),
    ("house", "orange"),
    ("flower", "blue"),
    ("bird", "black"),
    ("umbrella", "red"),
    ("fish", "yellow"),
)
"""Kinds and colours which never meet in train, val and test; every picture of heldout has one of these …"""
HELD_OUT_SCENES = (("umbrella", "snow"), ("plane", "night"), ("fish", "desert"), ("bus", "beach"), ("cat", "sea"))
"""… or one of these kinds in this scene."""

_LENGTHS = {"small": (40.0, 51.0), "large": (72.0, 96.0)}
_HOW_MANY = ((1, 0.15), (2, 0.30), (3, 0.33), (4, 0.22))
_MARGIN = 3  # pixels between a thing and the edge of the picture
_OVERLAP = 0.27  # share of the smaller of two boxes that both may cover; 60 % of every thing stays visible
_BIASED_SHARE = 0.7  # a bias nobody meets teaches nothing: most pictures of the scene have the kind


@dataclass(frozen=True)
class World:
    """The rules of the world.

    Attributes:
        bias: pairs of a kind and a scene, e.g. ``(("boat", "sea"),)``: the kind stands in no other scene,
            and in 70 % of the pictures of this one. Held-out pictures obey the bias except for the thing
            that is held out.

    Raises:
        ValueError: for an unknown kind or scene, for a kind named twice, and for a pair that is held out.
    """

    bias: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for kind, scene in self.bias:
            if kind not in KINDS:
                raise ValueError(f"The world has no kind {kind!r}; choose one of {', '.join(KINDS)}.")
            if scene not in SCENES:
                raise ValueError(f"The world has no scene {scene!r}; choose one of {', '.join(SCENES)}.")
            if (kind, scene) in HELD_OUT_SCENES:
                raise ValueError(f"{kind} and {scene} are a held-out pair; choose another scene for the bias.")
        if len(dict(self.bias)) < len(self.bias):
            raise ValueError("A kind is biased to two scenes; name each kind once.")


def seed(split: str, index: int) -> int:
    """The seed of picture `index` of a split.

    Raises:
        ValueError: for an unknown split or an index outside it.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    if not 0 <= index < SPLIT_SIZE:
        raise ValueError(f"Index {index} is outside the split; choose one in 0 … {SPLIT_SIZE - 1}.")
    return SPLITS[split] + index


def split_of(seed: int) -> str:
    """The split a seed belongs to.

    Raises:
        ValueError: if it belongs to none.
    """
    for name, first in SPLITS.items():
        if first <= seed < first + SPLIT_SIZE:
            return name
    raise ValueError(f"Seed {seed} belongs to no split; choose one in 0 … {len(SPLITS) * SPLIT_SIZE - 1}.")


def held_out(kind: str, colour: str, scene: str) -> bool:
    """Whether a thing of this kind and colour in this scene never occurs in train, val and test."""
    return (kind, colour) in HELD_OUT_COLOURS or (kind, scene) in HELD_OUT_SCENES


def describe(seed: int, world: World = World()) -> Truth:
    """What the picture with this seed shows, without drawing it (about 0.1 ms).

    The seed's split matters only for the held-out pairs: train, val and test never have one, every
    picture of heldout has at least one.

    Raises:
        ValueError: if the seed belongs to no split.
    """
    novel = split_of(seed) == "heldout"
    dice = Dice("layout", seed)
    scene, first, colour = dice.pick(SCENES), None, None
    if novel:
        pair = dice.pick(HELD_OUT_COLOURS + HELD_OUT_SCENES)
        if pair in HELD_OUT_COLOURS:
            first, colour = pair
        else:
            first, scene = pair
    kinds = _kinds(dice, scene, first, world, novel)
    wishes = [(kind, (i == 0 and colour) or _colour(dice, kind, novel)) for i, kind in enumerate(kinds)]
    wishes = dice.shuffled(wishes)  # the order of drawing must not give the held-out thing away
    while True:
        things = _arrange(dice, wishes)
        if things is not None:
            return Truth(seed, scene, things)


def _kinds(dice: Dice, scene: str, first: str | None, world: World, novel: bool) -> list[str]:
    bias = dict(world.bias)
    allowed = [
        kind for kind in KINDS if bias.get(kind, scene) == scene and (novel or (kind, scene) not in HELD_OUT_SCENES)
    ]
    expected = [kind for kind, place in world.bias if place == scene]
    if first is None and expected and dice.chance(_BIASED_SHARE):
        first = dice.pick(expected)
    draw, total = dice.unit(), 0.0
    n = _HOW_MANY[-1][0]
    for number, p in _HOW_MANY:
        total += p
        if draw < total:
            n = number
            break
    order = dice.shuffled([kind for kind in allowed if kind != first])
    kinds = ([first] if first else []) + order
    kinds = kinds[:n]
    if n > 1 and dice.chance(0.3):
        again = 3 if n > 2 and dice.chance(0.25) else 2
        kinds = [kinds[0]] * (again - 1) + kinds[: n - again + 1]
    return kinds


def _colour(dice: Dice, kind: str, novel: bool) -> str:
    return dice.pick(COLOURS if novel else _PERMITTED[kind])


_PERMITTED = {kind: tuple(c for c in COLOURS if (kind, c) not in HELD_OUT_COLOURS) for kind in KINDS}


def _arrange(dice: Dice, wishes: list[tuple[str, str]]) -> tuple[Thing, ...] | None:
    """Things with these kinds and colours where they hide little of each other; None if it did not work out."""
    things: list[Thing] = []
    badges: list[Box | None] = []
    for kind, colour in wishes:
        texture, scale = dice.pick(TEXTURES), dice.pick(SCALES)
        accessory = OPTIONAL_PARTS.get(kind) if dice.chance(0.5) else None
        size, angle = round(dice.uniform(*_LENGTHS[scale]), 1), round(dice.uniform(-8, 8), 1)
        mirrored, look = dice.chance(0.5), dice.below(1 << 30)
        x0, y0, x1, y1 = _extent(kind, accessory is not None, False, size, angle, mirrored)
        beside = dice.pick(things) if things and dice.chance(0.5) else None
        for _ in range(40):
            x = dice.uniform(_MARGIN - x0, SIZE - _MARGIN - x1)
            y = dice.uniform(_MARGIN - y0, SIZE - _MARGIN - y1)
            if beside is not None:
                # Somewhere around another thing, where they may overlap.
                reach = 0.5 * (size + beside.size)
                x = beside.origin[0] + dice.uniform(-reach, reach)
                y = beside.origin[1] + dice.uniform(-reach, reach)
                x = min(max(x, _MARGIN - x0), SIZE - _MARGIN - x1)
                y = min(max(y, _MARGIN - y0), SIZE - _MARGIN - y1)
            x, y = round(x, 1), round(y, 1)
            box = _whole(x + x0, y + y0, x + x1, y + y1)
            if all(_compatible(other.box, badge, box) for other, badge in zip(things, badges, strict=True)):
                break
        else:
            return None
        badge = None
        if accessory:
            x0, y0, x1, y1 = _extent(kind, True, True, size, angle, mirrored)
            badge = _whole(x + x0, y + y0, x + x1, y + y1)
        badges.append(badge)
        parts = SHAPES[kind].parts + ((accessory,) if accessory else ())
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        things.append(Thing(kind, colour, texture, scale, parts, box, centre, (x, y), size, angle, mirrored, look))
    return tuple(things)


def _whole(x0: float, y0: float, x1: float, y1: float) -> Box:
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)


def _extent(
    kind: str, with_optional: bool, only_optional: bool, size: float, angle: float, mirrored: bool
) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a thing (or of its optional part) around its origin, outline included."""
    outlines = SHAPES[kind].outlines(with_optional)
    points = outlines.optional_points if only_optional else outlines.points
    assert points is not None
    p = placed(points, size, angle, mirrored, 0, 0)
    (x0, y0), (x1, y1) = p.min(axis=0).tolist(), p.max(axis=0).tolist()
    return x0 - 1, y0 - 1, x1 + 1, y1 + 1


def _compatible(behind: Box, badge: Box | None, front: Box) -> bool:
    """Whether `front` may be drawn over `behind`, whose optional part is in `badge`."""
    shared = _intersection(behind, front)
    if shared > _OVERLAP * min(_area(behind), _area(front)):
        return False
    return badge is None or _intersection(badge, front) == 0


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _intersection(a: Box, b: Box) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
