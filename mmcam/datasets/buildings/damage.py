"""The three kinds of damage, each painted on the part of a house that it befalls."""

from __future__ import annotations

import math

from mmcam.datasets.buildings.brush import Brush, Point
from mmcam.datasets.buildings.house import RGB, House
from mmcam.datasets.vignettes.dice import Dice


def crack(brush: Brush, house: House, height: float, dice: Dice) -> None:
    """A jagged line through the wall, with a branch or none; it thins out towards its end."""
    tone = mixed(house.wall, (34, 28, 28), 0.72)
    side = -1 if dice.chance(0.5) else 1
    start = (side * dice.uniform(0.12, 0.42) * house.width, -dice.uniform(0.55, 0.96) * height)
    path = _jagged(start, dice.uniform(1.1, 1.9), dice.uniform(50, 110), dice)
    half = len(path) // 2
    brush.line(path[: half + 1], tone, 4.2, damaged=True)
    brush.line(path[half:], tone, 2.8, damaged=True)
    if dice.chance(0.6):
        branch = _jagged(path[half], dice.uniform(0.3, 0.9) if side < 0 else dice.uniform(2.2, 2.8), 34, dice)
        brush.line(branch, tone, 2.6, damaged=True)


def missing_tiles(brush: Brush, house: House, tile: tuple[float, float, float], rows: int, dice: Dice) -> None:
    """A hole of a few neighbouring tiles, in which laths are seen; a tile's width, height, and where the lowest lie."""
    wide, high, eaves = tile
    row = 1 + dice.below(rows - 2)
    middle = dice.uniform(-0.32, 0.32) * house.width
    for step in range(2 + dice.below(2)):
        count = 1 + dice.below(3)
        left = round(middle / wide) * wide + (wide / 2 if (row + step) % 2 else 0)
        top = eaves - (row + step + 1) * high
        brush.box(left, top, left + count * wide, top + high, (44, 36, 34), damaged=True)
        brush.line([(left, top + high / 2), (left + count * wide, top + high / 2)], (112, 86, 62), 2.0, damaged=True)


def damp(brush: Brush, house: House, height: float, dice: Dice) -> None:
    """A stain that rises from the foot of the wall, or runs down from the eaves, darker at its edge."""
    wide = dice.uniform(42, 92)
    high = dice.uniform(24, 52) if dice.chance(0.7) else dice.uniform(50, 80)
    middle = dice.uniform(-0.5, 0.5) * (house.width - wide - 8)
    rising = dice.chance(0.7)
    edge = [
        (middle + wide * (t - 0.5), high * (math.sin(math.pi * t) ** 0.6) * dice.uniform(0.72, 1.0))
        for t in (i / 12 for i in range(13))
    ]
    ground, sign = (0.0, -1) if rising else (-height, 1)
    outline: list[Point] = [(x, ground + sign * y) for x, y in edge]
    inner: list[Point] = [(middle + (x - middle) * 0.84, ground + sign * y * 0.82) for x, y in edge]
    brush.polygon(outline, mixed(house.wall, (58, 62, 44), 0.5), damaged=True)
    brush.polygon(inner, mixed(house.wall, (84, 92, 66), 0.4), damaged=True)


def mixed(tone: RGB, other: RGB, share: float) -> RGB:
    """A tone with a share of another."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(tone, other, strict=True))
    return red, green, blue


def _jagged(start: Point, direction: float, length: float, dice: Dice) -> list[Point]:
    """A path of short steps that waver around a direction, in radians clockwise from the right."""
    (x, y), path, gone = start, [start], 0.0
    while gone < length:
        step, turn = dice.uniform(6, 12), direction + dice.uniform(-0.85, 0.85)
        x, y, gone = x + step * math.cos(turn), y + step * math.sin(turn), gone + step
        path.append((x, y))
    return path
