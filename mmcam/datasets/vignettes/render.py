"""From a truth to pixels: the picture, and which part of which thing every pixel shows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mmcam.datasets.vignettes import fill, scenery
from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.shapes import SHAPES, Outlines
from mmcam.datasets.vignettes.shapes.piece import HAIR, INK, MAIN, SHADE, SKIN, placed
from mmcam.datasets.vignettes.truth import SIZE, Thing, Truth

RGB = tuple[int, int, int]
CODES_PER_THING = 16

_SKINS: tuple[RGB, ...] = ((250, 218, 188), (232, 186, 146), (190, 134, 98), (132, 90, 66))
_HAIRS: tuple[RGB, ...] = ((84, 58, 46), (58, 50, 54), (176, 126, 78), (120, 72, 50))


def picture(truth: Truth) -> NDArray[np.uint8]:
    """The picture as (224, 224, 3) uint8; the same truth gives the same bytes.

    It draws any truth, also one that no seed has: change a thing, and everything else stays as it was.
    """
    canvas, horizon = scenery.paint(truth.scene, Dice("scenery", truth.seed))
    for thing in truth.things:
        _draw(canvas, thing, horizon)
    return _grain(np.asarray(canvas.reduce(2)), Dice("noise", truth.seed))


def codes(truth: Truth) -> NDArray[np.uint8]:
    """(224, 224): 0 where the scene shows, else `code` of the thing's index and the index in its ``parts``.

    There is room for 15 things.
    """
    canvas = Image.new("L", (2 * SIZE, 2 * SIZE))
    draw = ImageDraw.Draw(canvas)
    for index, thing in enumerate(truth.things):
        outlines, points = _points(thing)
        width = _pen(thing)
        for piece, (start, stop) in zip(outlines.pieces, outlines.spans, strict=True):
            here = code(index, thing.parts.index(piece.part))
            xy = points[start:stop]
            draw.polygon(xy.ravel().tolist(), fill=here)
            if piece.outlined:
                draw.line([*xy.ravel().tolist(), *xy[0].tolist()], fill=here, width=width)
    return np.asarray(canvas)[1::2, 1::2].copy()


def code(thing: int, part: int) -> int:
    """The number that stands in `codes` for this part of this thing."""
    return 1 + CODES_PER_THING * thing + part


def _points(thing: Thing) -> tuple[Outlines, NDArray[np.float64]]:
    """The thing's pieces and their points on the canvas, which is twice as large as the picture."""
    shape = SHAPES[thing.kind]
    outlines = shape.outlines(shape.optional in thing.parts)
    x, y = thing.origin
    return outlines, placed(outlines.points, 2 * thing.size, thing.angle, thing.mirrored, 2 * x, 2 * y)


def _pen(thing: Thing) -> int:
    return 2 if thing.scale == "small" else 3


def _draw(canvas: Image.Image, thing: Thing, horizon: float) -> None:
    dice = Dice("look", thing.look)
    outlines, points = _points(thing)
    left, top, right, bottom = (2 * edge for edge in thing.box)
    colour = fill.tone(thing.colour, dice)
    face = fill.tile(colour, thing.colour, thing.texture, (right - left, bottom - top), dice)
    r, g, b = colour
    shade: RGB = (int(r * 0.72), int(g * 0.72), int(b * 0.74)) if thing.colour != "black" else (84, 84, 94)
    paints: dict[str, RGB] = {SHADE: shade, SKIN: dice.pick(_SKINS), HAIR: dice.pick(_HAIRS)}
    # A black thing at night needs an edge that is lighter than itself.
    edge: RGB = (132, 132, 148) if thing.colour == "black" else INK
    if bottom > horizon:
        _shadow(canvas, left, right, bottom)
    draw, width = ImageDraw.Draw(canvas), _pen(thing)
    for piece, (start, stop) in zip(outlines.pieces, outlines.spans, strict=True):
        xy = points[start:stop]
        if piece.paint == MAIN:
            x0, y0 = np.floor(xy.min(axis=0)).astype(int).tolist()
            x1, y1 = np.ceil(xy.max(axis=0)).astype(int).tolist()
            mask = Image.new("L", (x1 - x0 + 1, y1 - y0 + 1))
            ImageDraw.Draw(mask).polygon((xy - (x0, y0)).ravel().tolist(), fill=255)
            cut = (x0 - left, y0 - top, x1 - left + 1, y1 - top + 1)
            canvas.paste(face.crop(cut), (x0, y0), mask)
        else:
            paint = paints[piece.paint] if isinstance(piece.paint, str) else piece.paint
            draw.polygon(xy.ravel().tolist(), fill=paint)
        if piece.outlined:
            line = edge if piece.paint in (MAIN, SHADE) else INK
            draw.line([*xy.ravel().tolist(), *xy[0].tolist()], fill=line, width=width)


@cache
def _blob() -> Image.Image:
    blob = Image.new("L", (96, 32))
    ImageDraw.Draw(blob).ellipse((12, 8, 83, 23), fill=88)
    return blob.filter(ImageFilter.GaussianBlur(4))


def _shadow(canvas: Image.Image, left: int, right: int, bottom: int) -> None:
    """A soft shadow on the ground below a thing."""
    width, height = int((right - left) * 1.2), max(10, (right - left) // 5)
    mask = _blob().resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste((24, 26, 44), ((left + right - width) // 2, bottom - height // 2 - 3), mask)


@cache
def _noise() -> NDArray[np.int16]:
    """(320, 320, 3) of noise with a standard deviation of 1, times 64; a sum of uniforms is near enough."""
    uniform = np.random.Generator(np.random.PCG64(7)).random((4, 320, 320, 3))
    noise: NDArray[np.float64] = (uniform.sum(axis=0) - 2) * 3**0.5 * 64
    return noise.astype(np.int16)


def _grain(image: NDArray[np.uint8], dice: Dice) -> NDArray[np.uint8]:
    """`image` a little brighter or darker, with noise of 2 to 6 grey levels."""
    x, y, strength = dice.below(96), dice.below(96), 2 + dice.below(5)
    light = dice.uniform(0.92, 1.07)
    lut = np.clip(np.arange(256) * light + dice.uniform(-6, 6), 0, 255).astype(np.int16)
    noisy: NDArray[np.int16] = lut[image] + ((_noise()[y : y + SIZE, x : x + SIZE] * strength) >> 6)
    return np.clip(noisy, 0, 255).astype(np.uint8)
