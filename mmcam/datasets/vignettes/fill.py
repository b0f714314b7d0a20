"""The colour and texture of a thing, as a tile to cut its coloured parts from."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from mmcam.datasets.vignettes.dice import Dice

RGB = tuple[int, int, int]

TONES: dict[str, RGB] = {
    "red": (216, 46, 46),
    "orange": (246, 136, 30),
    "yellow": (252, 216, 58),
    "green": (56, 168, 76),
    "blue": (46, 104, 216),
    "purple": (142, 72, 178),
    "white": (246, 246, 246),
    "black": (48, 47, 54),
}

_SIDE = 256  # the longest thing is 107 pixels, drawn twice as large


def tone(colour: str, dice: Dice) -> RGB:
    """A colour as this thing has it: a little lighter or darker, a little off in hue, still that colour."""
    light = dice.uniform(0.94, 1.06)
    r, g, b = (max(0, min(255, int(c * light + dice.uniform(-7, 7)))) for c in TONES[colour])
    return r, g, b


def tile(colour: RGB, name: str, texture: str, size: tuple[int, int], dice: Dice) -> Image.Image:
    """An RGB tile of `size`, in a colour called `name` and a texture, lit from the upper left."""
    dark = _mix(colour, (20, 18, 40), 0.16)
    light = _mix(colour, (255, 255, 255), 0.1)
    face = Image.new("RGB", size, dark)
    face.paste(light, (0, 0), _light(size))
    if texture == "plain":
        return face
    period = 14 + 2 * dice.below(2) if max(size) < 140 else 18 + 4 * dice.below(3)
    pattern = _pattern(texture, period, dice.below(4))
    x, y = dice.below(period * 2), dice.below(period * 2)
    face.paste(_contrast(colour, name, dice), (0, 0), pattern.crop((x, y, x + size[0], y + size[1])))
    return face


def _contrast(colour: RGB, name: str, dice: Dice) -> RGB:
    pale = dice.chance(0.6)
    if name == "white":
        return (146, 150, 166) if pale else (176, 178, 188)
    if name == "black":
        return (158, 158, 170) if pale else (124, 124, 136)
    if name == "yellow":
        return (190, 142, 22)
    if not pale:
        return _mix(colour, (30, 16, 40), 0.42)
    return _mix(colour, (255, 255, 255), 0.68)


def _mix(a: RGB, b: RGB, share: float) -> RGB:
    r, g, b_ = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return r, g, b_


@cache
def _slope() -> Image.Image:
    y, x = np.mgrid[0:64, 0:64] / 63
    return Image.fromarray((255 * np.clip(1.15 - 0.75 * y - 0.3 * x, 0, 1)).astype(np.uint8))


def _light(size: tuple[int, int]) -> Image.Image:
    return _slope().resize(size, Image.Resampling.BILINEAR)


@cache
def _pattern(texture: str, period: int, way: int) -> Image.Image:
    """Where a texture has its contrasting tone, as a mask of 320×320; `way` turns it."""
    y, x = np.mgrid[0 : _SIDE + 64, 0 : _SIDE + 64].astype(float)
    u, v = [(x, y), (y, x), ((x + y) * 0.7071, (x - y) * 0.7071), ((x - y) * 0.7071, (x + y) * 0.7071)][way]
    if texture == "striped":
        on = np.mod(u, period) < period * 0.46
    elif texture == "checkered":
        on = (np.mod(u, 2 * period * 0.62) < period * 0.62) ^ (np.mod(v, 2 * period * 0.62) < period * 0.62)
    else:
        row = np.floor(v / (period * 0.9))
        du = np.mod(u + row * period * 0.55, period * 1.1) - period * 0.55
        dv = np.mod(v, period * 0.9) - period * 0.45
        on = du**2 + dv**2 < (period * 0.3) ** 2
    return Image.fromarray((on * 255).astype(np.uint8))
