"""A view of a building: its picture, and which of its pixels are damaged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.datasets.buildings.brush import CANVAS, Brush
from mmcam.datasets.buildings.damage import crack, damp, missing_tiles, mixed
from mmcam.datasets.buildings.house import RGB, WORLD, House, house
from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.truth import SIZE

STOREY: Final = 92.0
TILE: Final = (13.0, 10.0)
ROWS: Final = 8
_GLASS: Final[RGB] = (72, 84, 98)
_FRAME: Final[RGB] = (238, 236, 228)


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture of a building.

    Attributes:
        image: 224×224, RGB.
        mask: (224, 224), true where damage is seen; nowhere on a sound building.
        damage: the building's, one of `mmcam.datasets.buildings.DAMAGES`.
        building: its number.
        view: which of its views.
    """

    image: Image.Image
    mask: NDArray[np.bool_]
    damage: str
    building: int
    view: int


def photograph(building: int, view: int = 0, seed: int = 0) -> Photograph:
    """A view of a building; the same numbers give the same bytes.

    Args:
        building: its number, from 0.
        view: distance, place and light follow from it; the building and its damage stay.
        seed: of the world.

    Raises:
        ValueError: a number below 0.
    """
    return seen(house(building, seed), view)


def seen(it: House, view: int = 0) -> Photograph:
    """A view of any building, also of one that no number has: change its damage, and all else stays as it was.

    Raises:
        ValueError: a number below 0.
    """
    if view < 0:
        raise ValueError(f"Views are numbered from 0; there is no {view}.")
    far = Dice("look", WORLD, it.seed, it.number, view)
    # As near as the canvas allows, but not nearer than a photographer would go.
    scale = min(1.25, 0.94 * CANVAS / it.width) * far.uniform(0.86, 1.04)
    brush = Brush(scale, (CANVAS * far.uniform(0.46, 0.54), CANVAS * far.uniform(0.86, 0.93)))
    _surroundings(brush, it, far)
    _paint(brush, it)
    # A pixel of the picture is the mean of four of the canvas, so it shows damage if one of them does.
    mask = np.asarray(brush.damage).reshape(SIZE, 2, SIZE, 2).max((1, 3)) > 0
    return Photograph(Image.fromarray(_lit(brush.canvas, far)), mask, it.damage, it.number, view)


def _surroundings(brush: Brush, it: House, far: Dice) -> None:
    sky = far.pick(((176, 204, 230), (206, 214, 220), (150, 190, 226), (222, 214, 204)))
    ground = far.pick(((132, 150, 96), (150, 146, 138), (168, 158, 136)))
    brush.box(-600, -600, 600, 0, sky)
    brush.box(-600, -2, 600, 400, ground)
    brush.box(-600, 22, 600, 34, mixed(ground, (90, 90, 90), 0.35))
    for _ in range(far.below(3)):
        x, tall = far.pick((-1, 1)) * (it.width / 2 + far.uniform(10, 70)), far.uniform(60, 130)
        brush.box(x - 4, -tall * 0.5, x + 4, 4, (96, 76, 60))
        round_ = [(x + 30 * math.cos(t / 8), -tall * 0.7 + 38 * math.sin(t / 8)) for t in range(51)]
        brush.polygon(round_, far.pick(((86, 126, 74), (112, 138, 78), (74, 108, 70))))


def _paint(brush: Brush, it: House) -> None:
    """The house, from its wall to what stands before it; its damage where it befalls."""
    dice, harm = Dice("scenery", WORLD, it.seed, it.number), Dice("damage", WORLD, it.seed, it.number)
    half, height = it.width / 2, STOREY * it.storeys + 12
    brush.box(-half, -height, half, 0, it.wall)
    _surface(brush, it, half, height, dice)
    if it.damage == "damp":
        damp(brush, it, height, harm)
    if it.damage == "crack":
        crack(brush, it, height, harm)
    _openings(brush, it, half)
    if it.pipe:
        x = dice.pick((-1, 1)) * (half - 7)
        brush.box(x - 3, -height, x + 3, -4, mixed(it.roof, (70, 70, 74), 0.7))
    if it.ivy:
        _ivy(brush, half, dice)
    _roof(brush, it, half, height, dice, harm)
    if it.cable:
        y = -height * dice.uniform(0.45, 0.92)
        brush.line([(-half, y), (0, y + 6), (half, y - dice.uniform(0, 10))], (52, 50, 52), 1.6)
    x = dice.uniform(-half, half)
    shadow = [(x, -height), (x + dice.uniform(40, 90), -height), (x + dice.uniform(20, 70), 0), (x - 30, 0)]
    brush.shade([(min(max(u, -half), half), v) for u, v in shadow], (30, 34, 52), dice.uniform(0.1, 0.3))


def _surface(brush: Brush, it: House, half: float, height: float, dice: Dice) -> None:
    """Courses of bricks or stones, or plaster with faint patches."""
    line = mixed(it.wall, (60, 52, 48), 0.25)
    if it.material == "plaster":
        for _ in range(5):
            x, y = dice.uniform(-half + 20, half - 20), -dice.uniform(20, height - 10)
            blot = [(x + 26 * math.cos(t), y + 14 * math.sin(t)) for t in (0.0, 1.0, 2.0, 3.0, 4.0, 5.2)]
            brush.shade([(min(max(u, -half), half), min(v, 0.0)) for u, v in blot], (120, 112, 100), 0.1)
        return
    course, length = (7.0, 17.0) if it.material == "brick" else (15.0, 30.0)
    for row in range(1, int(height / course) + 1):
        y = -row * course
        brush.texture([(-half, y), (half, y)], line)
        x = -half + (length / 2 if row % 2 else length)
        while x < half:
            brush.texture([(x, y), (x, y + course)], line)
            x += length


def _openings(brush: Brush, it: House, half: float) -> None:
    """Windows and the door."""
    pitch = 2 * half / it.columns
    for storey in range(it.storeys):
        for column in range(it.columns):
            x, foot = -half + (column + 0.5) * pitch, -STOREY * storey
            if storey == 0 and column == it.door_column:
                brush.box(x - 15, -62, x + 15, 0, _FRAME)
                brush.box(x - 12, -59, x + 12, 0, it.door)
                continue
            brush.box(x - 17, foot - 72, x + 17, foot - 28, _FRAME)
            brush.box(x - 14, foot - 69, x + 14, foot - 31, _GLASS)
            brush.box(x - 1.5, foot - 69, x + 1.5, foot - 31, _FRAME)
            brush.box(x - 20, foot - 29, x + 20, foot - 25, mixed(it.wall, (255, 255, 255), 0.45))


def _ivy(brush: Brush, half: float, dice: Dice) -> None:
    x = dice.pick((-1, 1)) * (half - dice.uniform(10, 26))
    for _ in range(22):
        u, v, r = x + dice.uniform(-13, 13), -dice.uniform(0, 60), dice.uniform(4, 7)
        leaf = [(u + r * math.cos(t), v + r * math.sin(t)) for t in (0.3, 1.6, 2.8, 3.9, 5.3)]
        brush.polygon(leaf, dice.pick(((70, 104, 58), (86, 122, 66), (58, 90, 54))))


def _roof(brush: Brush, it: House, half: float, height: float, dice: Dice, harm: Dice) -> None:
    """Rows of tiles on a trapezium above the wall, and what is on it."""
    wide, high = TILE
    eaves = half + 12
    if it.chimney:
        x = dice.uniform(-0.5, 0.5) * it.width
        brush.box(x - 11, -height - ROWS * high - 22, x + 11, -height - 20, (150, 92, 76))
        brush.box(x - 13, -height - ROWS * high - 26, x + 13, -height - ROWS * high - 20, (120, 112, 108))
    slope = (eaves - 0.72 * half) / (ROWS * high)
    ridge = -height - ROWS * high
    brush.polygon([(-eaves, -height), (eaves, -height), (0.72 * half, ridge), (-0.72 * half, ridge)], it.roof)
    seam = mixed(it.roof, (30, 24, 24), 0.32)
    for row in range(ROWS):
        bottom, reach = -height - row * high, eaves - slope * row * high
        brush.texture([(-reach, bottom), (reach, bottom)], seam)
        for step in range(int(-reach / wide), int(reach / wide) + 1):
            x = (step + (0.5 if row % 2 else 0)) * wide
            if abs(x) < reach - slope * high:
                brush.texture([(x, bottom), (x, bottom - high)], seam)
    if it.patch:
        left, row = round(dice.uniform(-0.3, 0.2) * it.width / wide) * wide, 1 + dice.below(4)
        top = -height - (row + 2) * high
        brush.box(left, top, left + 3 * wide, top + 2 * high, mixed(it.roof, (255, 250, 240), 0.22))
    if it.skylight:
        x = dice.pick((-1, 1)) * dice.uniform(0.16, 0.3) * it.width
        brush.box(x - 13, -height - 58, x + 13, -height - 26, (206, 204, 200))
        brush.box(x - 10, -height - 55, x + 10, -height - 29, _GLASS)
    if it.damage == "missing tiles":
        missing_tiles(brush, it, (*TILE, -height), ROWS, harm)
    brush.box(-eaves, -height - 2, eaves, -height + 4, mixed(it.roof, (60, 60, 64), 0.6))


def _lit(canvas: Image.Image, far: Dice) -> NDArray[np.uint8]:
    """The picture as a camera has it: brighter or darker, and with noise."""
    light, lift, strength = far.uniform(0.82, 1.1), far.uniform(-8, 8), far.uniform(1.5, 4.5)
    pixels = np.asarray(canvas.reduce(2)).astype(np.float64)
    noise = np.random.Generator(np.random.PCG64([WORLD, far.below(2**30)])).random(pixels.shape)
    return np.clip(pixels * light + lift + (noise - 0.5) * 3.46 * strength, 0, 255).astype(np.uint8)
