"""Draw maps as pictures: a heatmap over a photograph, a signed gradient on grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.errors import ExplainError

BAND = 2**19
"""Pixels of a picture that are coloured at a time."""


def display_scale(heatmap: NDArray[np.floating]) -> NDArray[np.floating]:
    """A map divided by its maximum for display, negatives cut to 0; a map that is positive nowhere stays 0.

    Nothing is added to the denominator and the floor is not lifted, so a weak map looks like a strong one, and an empty
    one looks empty.
    """
    return _displayed(heatmap, float(heatmap.max(initial=0)))


def _displayed(heatmap: NDArray[np.floating], top: float) -> NDArray[np.floating]:
    return np.clip(heatmap, 0, None) / top if 0 < top < np.inf else np.zeros_like(heatmap)


def draw_overlay(
    picture: Image.Image, heatmap: NDArray[np.floating], *, alpha: float = 0.6, cmap: str = "turbo"
) -> Image.Image:
    """Colour a map (H,W) and lay it over a picture of that size; its opacity grows with the map up to `alpha`.

    Raises:
        ExplainError: alpha outside 0..1, or a colour map matplotlib does not know.
    """
    from matplotlib import colormaps

    if not isinstance(alpha, (int, float, np.floating)) or not 0 <= alpha <= 1:
        raise ExplainError(f"alpha is an opacity from 0 to 1; {alpha!r} is not.")
    if cmap not in list(colormaps):
        raise ExplainError(f"matplotlib has no colour map {cmap!r}; 'turbo' and 'viridis' are two it has.")
    drawn, top = np.array(picture), float(heatmap.max(initial=0))
    for rows in _bands(heatmap.shape):
        heat = _displayed(heatmap[rows], top)
        # A square root lets the middle of the range be seen; the picture stays clear where the map is near zero.
        opacity = (alpha * np.sqrt(heat))[..., None]
        mixed = drawn[rows].astype(np.float64) * (1 - opacity) + 255 * colormaps[cmap](heat)[..., :3] * opacity
        drawn[rows] = mixed.round().clip(0, 255)
    return Image.fromarray(drawn)


def draw_signed(values: NDArray[np.floating]) -> Image.Image:
    """Draw a signed map (C,H,W) around middle grey, contrast set by the 99th percentile of its magnitude.

    Of other than three channels the one of the largest magnitude is drawn at each pixel.
    """
    # The copy may be reordered: the percentile of a large map needs no further one.
    magnitude = float(np.percentile(np.abs(values), 99, overwrite_input=True)) or float(np.abs(values).max())
    drawn = np.empty((*values.shape[1:], 3), np.uint8)
    for rows in _bands(values.shape[1:]):
        band = values[:, rows]
        if len(band) != 3:
            band = np.take_along_axis(band, np.abs(band).argmax(0)[None], 0)
        scaled = band / magnitude if magnitude > 0 else band
        drawn[rows] = (127.5 + 127.5 * scaled).clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(drawn)


def _bands(shape: tuple[int, ...]) -> list[slice]:
    """The rows of a map (H,W), a few at a time: colours are kept as wide numbers until they are mixed."""
    step = max(1, BAND // shape[1])
    return [slice(start, start + step) for start in range(0, shape[0], step)]
