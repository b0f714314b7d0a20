"""The seven scenes: a sky, a ground, and clutter that looks like none of the things."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.truth import SIZE

RGB = tuple[int, int, int]
W = 2 * SIZE  # scenes are drawn twice as large and reduced


def paint(scene: str, dice: Dice) -> tuple[Image.Image, float]:
    """A picture of the empty scene, 448×448, and the height of its horizon in its pixels."""
    horizon = dice.uniform(0.36, 0.56) * W
    tilt = [dice.below(17) - 8 for _ in range(3)]
    sky, ground = _TONES[scene]
    canvas = _gradient([_shift(c, tilt) for c in sky], [_shift(c, tilt) for c in ground], horizon)
    _PAINTERS[scene](ImageDraw.Draw(canvas), dice, horizon)
    return canvas, horizon


_TONES: dict[str, tuple[list[RGB], list[RGB]]] = {
    "meadow": ([(126, 190, 236), (214, 236, 246)], [(166, 208, 118), (112, 172, 84)]),
    "beach": ([(134, 206, 240), (226, 244, 246)], [(240, 222, 172), (224, 194, 134)]),
    "sea": ([(150, 204, 236), (232, 242, 244)], [(92, 172, 198), (30, 104, 150)]),
    "street": ([(186, 204, 220), (232, 234, 232)], [(136, 136, 142), (104, 104, 112)]),
    "snow": ([(176, 196, 220), (226, 234, 244)], [(240, 246, 252), (212, 224, 240)]),
    "night": ([(22, 26, 66), (74, 66, 124)], [(46, 66, 76), (28, 42, 56)]),
    "desert": ([(250, 208, 150), (253, 236, 204)], [(232, 186, 118), (206, 148, 88)]),
}


def _shift(colour: RGB, by: list[int]) -> RGB:
    r, g, b = (max(0, min(255, c + d)) for c, d in zip(colour, by, strict=True))
    return r, g, b


def _gradient(sky: list[RGB], ground: list[RGB], horizon: float) -> Image.Image:
    rows = np.arange(W)
    stops = [0, horizon, horizon + 1, W]
    tones = np.array([*sky, *ground], dtype=float)
    column = np.stack([np.interp(rows, stops, tones[:, c]) for c in range(3)], axis=1)
    return Image.fromarray(column.astype(np.uint8)[:, None, :]).resize((W, W), Image.Resampling.NEAREST)


def _ridge(draw: ImageDraw.ImageDraw, dice: Dice, base: float, height: float, colour: RGB, down: float = W) -> None:
    """A line of hills or dunes: everything below a sum of two waves, down to `down`."""
    a, b = dice.uniform(0, 6.3), dice.uniform(0, 6.3)
    f, g = dice.uniform(0.7, 1.4), dice.uniform(1.8, 3.2)
    line = []
    for x in range(0, W + 15, 14):
        t = x / W * 2 * math.pi
        line.append((x, base - height * (0.5 + 0.35 * math.sin(f * t + a) + 0.15 * math.sin(g * t + b))))
    draw.polygon([(0, down), *line, (W, down)], fill=colour)


def _cloud(draw: ImageDraw.ImageDraw, dice: Dice, top: float, colour: RGB) -> None:
    x, y, s = dice.uniform(20, W - 60), dice.uniform(15, max(24, top)), dice.uniform(14, 26)
    for dx, dy, r in ((0, 0, 1.0), (1.2, -0.35, 1.25), (2.5, -0.05, 1.0), (3.4, 0.2, 0.7), (-0.9, 0.25, 0.65)):
        draw.ellipse((x + s * (dx - r), y + s * (dy - r * 0.7), x + s * (dx + r), y + s * (dy + r * 0.62)), fill=colour)


def _stone(draw: ImageDraw.ImageDraw, dice: Dice, y: float, colour: RGB) -> None:
    x, r = dice.uniform(10, W - 10), dice.uniform(7, 15)
    dark = tuple(int(c * 0.78) for c in colour)
    points = [(x + r * 1.5 * math.cos(t), y + r * (0.7 if t > 3.2 else 0.35) * math.sin(t)) for t in _ROUGH]
    draw.polygon(points, fill=dark)
    draw.polygon([(px - r * 0.15, py - r * 0.12) for px, py in points[3:]], fill=colour)


_ROUGH = (0.0, 0.8, 1.9, 3.14, 3.6, 4.3, 5.0, 5.7)


def _tuft(draw: ImageDraw.ImageDraw, dice: Dice, y: float, colour: RGB) -> None:
    x, h = dice.uniform(6, W - 6), dice.uniform(12, 24)
    for lean in (-0.7, -0.3, 0.05, 0.4, 0.75):
        tip = (x + lean * h + dice.uniform(-2, 2), y - h * (1 - 0.3 * abs(lean)))
        draw.polygon([(x + lean * 7 - 2, y), (x + lean * 7 + 3, y), tip], fill=colour)


def _meadow(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    for _ in range(1 + dice.below(3)):
        _cloud(draw, dice, horizon * 0.6, (247, 250, 252))
    _ridge(draw, dice, horizon + 6, 70, (150, 200, 150), horizon + 8)
    _ridge(draw, dice, horizon + 10, 30, (158, 206, 116), horizon + 12)
    if dice.chance(0.4):
        y = horizon + dice.uniform(4, 20)
        for x in range(-10 + dice.below(20), W, 44):
            draw.rectangle((x, y - 26, x + 7, y + 10), fill=(196, 170, 134))
        for dy in (-18, -4):
            draw.rectangle((0, y + dy, W, y + dy + 5), fill=(206, 182, 146))
    for _ in range(4 + dice.below(7)):
        _tuft(draw, dice, dice.uniform(horizon + 20, W), dice.pick(((84, 150, 66), (100, 164, 74), (132, 188, 90))))
    for _ in range(dice.below(3)):
        _stone(draw, dice, dice.uniform(horizon + 20, W), (176, 176, 168))


def _beach(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    for _ in range(dice.below(3)):
        _cloud(draw, dice, horizon * 0.5, (248, 251, 252))
    deep = dice.uniform(40, 70)
    draw.rectangle((0, horizon - deep, W, horizon), fill=(86, 178, 204))
    draw.rectangle((0, horizon - deep * 0.45, W, horizon), fill=(116, 200, 212))
    for _ in range(4):
        x, y = dice.uniform(0, W), horizon - dice.uniform(8, deep - 4)
        draw.line((x, y, x + dice.uniform(20, 60), y), fill=(190, 230, 234), width=3)
    _ridge(draw, dice, horizon + 14, 22, (246, 250, 246), horizon + 20)
    _ridge(draw, dice, horizon + 21, 22, (238, 220, 170), horizon + 24)
    for _ in range(3 + dice.below(4)):
        x, y, r = dice.uniform(10, W - 10), dice.uniform(horizon + 40, W - 6), dice.uniform(7, 12)
        tone = dice.pick(((250, 226, 216), (236, 200, 190), (252, 240, 226)))
        draw.pieslice((x - r, y - r, x + r, y + r), 200, 340, fill=tone, outline=(176, 140, 120))
        for t in (-0.5, 0, 0.5):
            draw.line((x, y, x + r * 0.9 * math.sin(t), y - r * 0.9 * math.cos(t)), fill=(196, 158, 138), width=1)
    for _ in range(2 + dice.below(4)):
        _stone(draw, dice, dice.uniform(horizon + 36, W), (206, 184, 150))
    for _ in range(14):
        x, y = dice.uniform(0, W), dice.uniform(horizon + 30, W)
        draw.ellipse((x, y, x + 3, y + 2), fill=(206, 176, 122))


def _sea(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    for _ in range(1 + dice.below(3)):
        _cloud(draw, dice, horizon * 0.7, (248, 250, 252))
    if dice.chance(0.5):
        x = dice.uniform(20, W - 120)
        draw.polygon(
            [(x, horizon), (x + 34, horizon - 26), (x + 60, horizon - 14), (x + 92, horizon - 34), (x + 140, horizon)],
            fill=(150, 178, 186),
        )
    for i in range(9 + dice.below(6)):
        depth = dice.unit()
        y, w = horizon + 10 + depth * (W - horizon - 14), 10 + 16 * depth
        x, tone = dice.uniform(-10, W - 30), dice.pick(((150, 206, 222), (190, 226, 234), (70, 146, 184)))
        for k in range(1 + i % 3):
            draw.arc(
                (x + k * w * 1.7, y - w * 0.5, x + w * 1.9 + k * w * 1.7, y + w * 0.5), 20, 160, fill=tone, width=3
            )
    for _ in range(dice.below(3)):
        _stone(draw, dice, dice.uniform(horizon + 20, W - 20), (104, 120, 132))


def _street(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    x = -dice.uniform(0, 40)
    while x < W:
        w, h = dice.uniform(50, 96), dice.uniform(50, 150)
        tone = dice.pick(((196, 196, 204), (206, 200, 196), (184, 190, 202)))
        draw.rectangle((x, horizon - h, x + w, horizon), fill=tone)
        pale = tuple(c + 18 for c in tone)
        for wy in range(int(horizon - h + 14), int(horizon - 16), 26):
            for wx in range(int(x + 10), int(x + w - 12), 22):
                draw.rectangle((wx, wy, wx + 9, wy + 12), fill=pale)
        x += w + dice.uniform(0, 12)
    kerb = horizon + dice.uniform(34, 60)
    draw.rectangle((0, horizon, W, kerb), fill=(190, 186, 182))
    draw.rectangle((0, kerb, W, kerb + 6), fill=(160, 156, 156))
    for sx in range(dice.below(50), W, 52):
        draw.line((sx, horizon + 2, sx - 14, kerb), fill=(172, 168, 166), width=2)
    middle = (kerb + W) / 2 + dice.uniform(-10, 10)
    for sx in range(-dice.below(60), W, 84):
        draw.polygon(
            [(sx, middle), (sx + 46, middle), (sx + 40, middle + 9), (sx - 6, middle + 9)], fill=(224, 222, 212)
        )
    for _ in range(1 + dice.below(3)):
        x, top = dice.uniform(20, W - 40), horizon - dice.uniform(70, 110)
        draw.line((x, kerb - 8, x, top, x + 26, top), fill=(92, 98, 110), width=6)
        draw.polygon([(x + 18, top), (x + 42, top), (x + 36, top + 10), (x + 24, top + 10)], fill=(252, 240, 190))
    for _ in range(dice.below(3)):
        x, y = dice.uniform(20, W - 40), dice.uniform(kerb + 30, W - 16)
        draw.ellipse((x, y, x + 40, y + 14), fill=(88, 88, 96), outline=(74, 74, 82), width=2)
        draw.line((x + 8, y + 7, x + 32, y + 7), fill=(116, 116, 122), width=2)
    for _ in range(dice.below(3)):
        x, y = dice.uniform(20, W - 30), dice.uniform(kerb + 20, W - 8)
        draw.polygon([(x - 9, y), (x + 9, y), (x + 2, y - 26), (x - 2, y - 26)], fill=(226, 130, 84))
        draw.rectangle((x - 5, y - 14, x + 5, y - 9), fill=(246, 240, 234))
        draw.rectangle((x - 12, y, x + 12, y + 4), fill=(206, 112, 70))


def _snow(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    _ridge(draw, dice, horizon + 4, 90, (204, 216, 234), horizon + 6)
    _ridge(draw, dice, horizon + 8, 40, (226, 234, 246), horizon + 10)
    for _ in range(2 + dice.below(3)):
        y = dice.uniform(horizon + 50, W + 20)
        _ridge(draw, dice, y, dice.uniform(16, 34), dice.pick(((248, 251, 255), (234, 241, 250))), y + 8)
    for _ in range(1 + dice.below(3)):
        x, y = dice.uniform(20, W - 20), dice.uniform(horizon + 20, W - 10)
        for dx, dy in ((-10, -34), (6, -42), (16, -22)):
            draw.line((x, y, x + dx, y + dy), fill=(140, 124, 122), width=3)
            draw.line((x + dx * 0.5, y + dy * 0.5, x + dx * 0.5 + 9, y + dy * 0.5 - 9), fill=(140, 124, 122), width=2)
    for _ in range(dice.below(3)):
        _stone(draw, dice, dice.uniform(horizon + 20, W), (178, 188, 204))
    for _ in range(50):
        x, y, r = dice.uniform(0, W), dice.uniform(0, W), dice.uniform(1.5, 4)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(253, 254, 255))


def _night(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    for _ in range(34):
        x, y, r = dice.uniform(0, W), dice.uniform(0, horizon), dice.uniform(1, 2.6)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=dice.pick(((255, 246, 214), (206, 214, 246))))
    x, y, r = dice.uniform(50, W - 50), dice.uniform(36, max(40, horizon * 0.5)), dice.uniform(18, 26)
    moon = [(x + r * math.cos(t), y + r * math.sin(t)) for t in np.linspace(0.9, 5.4, 16).tolist()]
    cut = [
        (x + r * (0.48 + 0.72 * math.cos(t)), y + r * 0.9 * math.sin(t)) for t in np.linspace(4.6, 1.68, 12).tolist()
    ]
    draw.polygon(moon + cut, fill=(252, 238, 188))
    _ridge(draw, dice, horizon + 6, 80, (54, 58, 104), horizon + 8)
    _ridge(draw, dice, horizon + 10, 34, (44, 60, 80), horizon + 12)
    for _ in range(3 + dice.below(5)):
        _tuft(draw, dice, dice.uniform(horizon + 20, W), dice.pick(((34, 58, 66), (62, 88, 92))))
    for _ in range(dice.below(3)):
        _stone(draw, dice, dice.uniform(horizon + 20, W), (82, 88, 108))
    for _ in range(4 + dice.below(5)):
        x, y = dice.uniform(0, W), dice.uniform(horizon - 20, W)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(112, 124, 84))
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(238, 244, 160))


def _desert(draw: ImageDraw.ImageDraw, dice: Dice, horizon: float) -> None:
    if dice.chance(0.6):
        x, w, h = dice.uniform(-20, W - 100), dice.uniform(80, 150), dice.uniform(40, 80)
        draw.polygon(
            [(x, horizon + 2), (x + 18, horizon - h), (x + w - 22, horizon - h + 4), (x + w, horizon + 2)],
            fill=(222, 160, 122),
        )
    _ridge(draw, dice, horizon + 8, 50, (240, 200, 140), horizon + 10)
    for _ in range(2):
        y = dice.uniform(horizon + 60, W)
        _ridge(draw, dice, y, 30, dice.pick(((236, 192, 126), (214, 160, 98))), y + 6)
    for _ in range(1 + dice.below(3)):
        x, y, h = dice.uniform(20, W - 20), dice.uniform(horizon + 16, W - 10), dice.uniform(44, 80)
        tone, w = (104, 146, 96), int(h * 0.17)
        draw.line((x, y, x, y - h), fill=tone, width=w)
        draw.ellipse((x - w / 2, y - h - w / 2, x + w / 2, y - h + w / 2), fill=tone)
        for side, at in ((-1, 0.4), (1, 0.55)):
            ax, ay = x + side * h * 0.28, y - h * at
            draw.line((x, ay, ax, ay), fill=tone, width=int(w * 0.7))
            draw.line((ax, ay + w * 0.35, ax, ay - h * 0.28), fill=tone, width=int(w * 0.7))
            draw.ellipse((ax - w * 0.36, ay - h * 0.28 - w * 0.36, ax + w * 0.36, ay - h * 0.28 + w * 0.36), fill=tone)
        draw.line((x - 1, y - 4, x - 1, y - h), fill=(132, 172, 118), width=2)
    for _ in range(2 + dice.below(4)):
        _stone(draw, dice, dice.uniform(horizon + 20, W), (190, 140, 104))
    for _ in range(12):
        x, y = dice.uniform(0, W), dice.uniform(horizon + 20, W)
        draw.line((x, y, x + dice.uniform(10, 30), y), fill=(216, 164, 104), width=2)


_PAINTERS: dict[str, Callable[[ImageDraw.ImageDraw, Dice, float], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "sea": _sea,
    "street": _street,
    "snow": _snow,
    "night": _night,
    "desert": _desert,
}
