"""Draw maps as pictures: a heatmap over a photograph, a signed gradient on grey, and marks on either."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from mmcam.errors import ExplainError

COLOUR_MAP = "plasma"
"""The colour map of maps: its lightness grows evenly, so it is read without telling red from green and in grey; and of
the maps that do so its violet and pink are the colours that photographs of nature and of rooms have least of."""

ALPHA = 0.7
"""The opacity of a map where it is greatest."""

BAND = 2**19
"""Pixels of a picture that are coloured at a time."""

REGION = "#39ff14"
"""The colour of a region's edge, which the colour map of maps lacks."""

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""


def display_scale(heatmap: NDArray[np.floating]) -> NDArray[np.floating]:
    """A map divided by its maximum for display, negatives cut to 0; a map that is positive nowhere stays 0.

    Nothing is added to the denominator and the floor is not lifted, so a weak map looks like a strong one, and an empty
    one looks empty.
    """
    return _displayed(heatmap, float(heatmap.max(initial=0)))


def _displayed(heatmap: NDArray[np.floating], top: float) -> NDArray[np.floating]:
    return np.clip(heatmap, 0, None) / top if 0 < top < np.inf else np.zeros_like(heatmap)


def draw_overlay(
    picture: Image.Image,
    heatmap: NDArray[np.floating],
    *,
    alpha: float = ALPHA,
    cmap: str = COLOUR_MAP,
    top: float | None = None,
) -> Image.Image:
    """Colour a map (H,W) and lay it over a picture of that size; its opacity grows with the map up to `alpha`.

    Args:
        picture: of the map's size.
        heatmap: un-normalised; what is negative is not drawn.
        alpha: opacity where the map is greatest.
        cmap: a matplotlib colour map.
        top: the value of the last colour; default the map's own maximum. Maps that share it can be compared.

    Raises:
        ExplainError: alpha outside 0..1, or a colour map matplotlib does not know.
    """
    check_look(alpha, cmap)
    from matplotlib import colormaps

    drawn = np.array(picture)
    own = float(heatmap.max(initial=0))
    top = own if top is None or not math.isfinite(own) else top
    for rows in _bands(heatmap.shape):
        heat = _displayed(heatmap[rows], top)
        # A square root lets the middle of the range be seen; the picture stays clear where the map is near zero.
        opacity = (alpha * np.sqrt(heat))[..., None]
        mixed = drawn[rows].astype(np.float64) * (1 - opacity) + 255 * colormaps[cmap](heat)[..., :3] * opacity
        drawn[rows] = mixed.round().clip(0, 255)
    return Image.fromarray(drawn)


def check_look(alpha: float, cmap: str) -> None:
    """Raise ExplainError for an alpha outside 0..1, or a colour map matplotlib does not know."""
    from matplotlib import colormaps

    if not isinstance(alpha, (int, float, np.floating)) or not 0 <= alpha <= 1:
        raise ExplainError(f"alpha is an opacity from 0 to 1; {alpha!r} is not.")
    if cmap not in list(colormaps):
        raise ExplainError(f"matplotlib has no colour map {cmap!r}; 'plasma', 'viridis' and 'turbo' are three it has.")


def draw_signed(values: NDArray[np.floating], *, top: float | None = None) -> Image.Image:
    """Draw a signed map (C,H,W) around middle grey.

    Of other than three channels the one of the largest magnitude is drawn at each pixel.

    Args:
        values: un-normalised.
        top: the magnitude that is black or white; default `signed_top`. Maps that share it can be compared.
    """
    magnitude = signed_top(values) if top is None else top
    drawn = np.empty((*values.shape[1:], 3), np.uint8)
    for rows in _bands(values.shape[1:]):
        band = values[:, rows]
        if len(band) != 3:
            band = np.take_along_axis(band, np.abs(band).argmax(0)[None], 0)
        scaled = band / magnitude if magnitude > 0 else band
        drawn[rows] = (127.5 + 127.5 * scaled).clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(drawn)


def signed_top(values: NDArray[np.floating]) -> float:
    """The 99th percentile of a signed map's magnitude, or its maximum where that is 0."""
    # The copy may be reordered: the percentile of a large map needs no further one.
    return float(np.percentile(np.abs(values), 99, overwrite_input=True)) or float(np.abs(values).max())


def mute_outside(picture: Image.Image, shown: Box) -> Image.Image:
    """A picture whose parts outside a box are faded to grey and hatched: nothing there was looked at.

    Args:
        picture: RGB; it is not changed.
        shown: what the model was shown.
    """
    left, top, right, bottom = shown
    width, height = picture.size
    if left <= 0 and top <= 0 and right >= width and bottom >= height:
        return picture
    drawn = np.array(picture)
    # Stripes of the same look at any size: about fifty across the longer side.
    period = max(6, round(max(width, height) / 50))
    line = max(1, period // 6)
    columns = np.arange(width)
    for rows in _bands((height, width)):
        band = drawn[rows].astype(np.float32)
        numbers = np.arange(height)[rows]
        faded = 0.35 * band.mean(-1, keepdims=True) + 0.65 * 225
        faded[(numbers[:, None] + columns) % period < line] = 150
        inside = ((numbers >= top) & (numbers < bottom))[:, None] & ((columns >= left) & (columns < right))
        drawn[rows] = np.where(inside[..., None], band, faded).round()
    return Image.fromarray(drawn)


def mark(picture: Image.Image, box: Box | None = None, peak: tuple[int, int] | None = None) -> Image.Image:
    """A picture with a box and a cross at a peak, white between black lines so that they show on any ground.

    Args:
        picture: RGB; it is not changed.
        box: drawn just inside its pixels.
        peak: (x, y).
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    line = max(1, round(max(picture.size) / 250))
    if box is not None:
        left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
        for inset, colour in ((0, "black"), (line, "white"), (2 * line, "black")):
            if right - left >= 2 * inset and bottom - top >= 2 * inset:
                edge = (left + inset, top + inset, right - inset, bottom - inset)
                pen.rectangle(edge, outline=colour, width=line)
    if peak is not None:
        x, y = peak
        for arm, width, colour in ((7 * line, 3 * line, "black"), (6 * line, line, "white")):
            pen.line((x - arm, y, x + arm, y), colour, width)
            pen.line((x, y - arm, x, y + arm), colour, width)
    return drawn


def outline(picture: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """A picture with the edge of a region.

    Args:
        picture: RGB; it is not changed.
        mask: bool (H,W), over the picture at any size.
    """
    drawn, line = picture.copy(), edge(mask, picture.size)
    drawn.paste(line, mask=line)
    return drawn


def edge(mask: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """The edge of a region bool (H,W) on nothing, RGBA of `size` (width, height): green between black lines.

    Of a single pixel, and of a region that is none at that size, it is a ring around the middle.
    """
    line = max(1, round(max(size) / 250))
    rows, columns = np.nonzero(mask)
    scale = size[0] / mask.shape[1], size[1] / mask.shape[0]
    mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    if len(rows) == 1 or not mask.any():
        drawn = Image.new("RGBA", size)
        x, y = (int((at.mean() + 0.5) * by) for at, by in zip((columns, rows), scale, strict=True))
        pen = ImageDraw.Draw(drawn)
        for radius, width, colour in ((6 * line, 3 * line, "black"), (5 * line, line, REGION)):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        return drawn
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    # Shrunk again and again, it leaves its edge: black, green, black.
    for colour in ("black", REGION, "black"):
        inner = _shrunk(mask, line)
        pixels[mask & ~inner] = (*ImageColor.getrgb(colour), 255)
        mask = inner
    return Image.fromarray(pixels)


def _shrunk(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A mask (H,W) without the pixels nearer than so many to what is outside of it; so is what is outside the picture.

    A pixel stays where the square around it is all inside, as the sum over it tells.
    """
    side = 2 * by + 1
    sums = np.pad(np.pad(mask, by).astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside: NDArray[np.bool_] = (
        sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] == side**2
    )
    return inside


def _bands(shape: tuple[int, ...]) -> list[slice]:
    """The rows of a map (H,W), a few at a time: colours are kept as wide numbers until they are mixed."""
    step = max(1, BAND // shape[1])
    return [slice(start, start + step) for start in range(0, shape[0], step)]
