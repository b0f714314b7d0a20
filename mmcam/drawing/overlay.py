"""Draw maps as pictures: a heatmap over a photograph, a signed gradient on grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def display_scale(heatmap: NDArray[np.floating]) -> NDArray[np.floating]:
    """A map divided by its maximum for display, negatives cut to 0; a map that is positive nowhere stays 0.

    Nothing is added to the denominator and the floor is not lifted, so a weak map looks like a strong one, and an empty
    one looks empty.
    """
    top = float(heatmap.max(initial=0))
    return np.clip(heatmap, 0, None) / top if 0 < top < np.inf else np.zeros_like(heatmap)


def draw_overlay(
    picture: Image.Image, heatmap: NDArray[np.floating], *, alpha: float = 0.6, cmap: str = "turbo"
) -> Image.Image:
    """Colour a map (H,W) and lay it over a picture of that size; its opacity grows with the map up to `alpha`.

    Raises:
        ValueError: alpha outside 0..1, or a colour map matplotlib does not know.
    """
    from matplotlib import colormaps

    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is an opacity from 0 to 1; {alpha} is not.")
    heat = display_scale(heatmap)
    colours = colormaps[cmap](heat)[..., :3]
    # A square root lets the middle of the range be seen; the picture stays clear where the map is near zero.
    opacity = (alpha * np.sqrt(heat))[..., None]
    mixed = np.asarray(picture, dtype=np.float64) * (1 - opacity) + 255 * colours * opacity
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def draw_signed(values: NDArray[np.floating]) -> Image.Image:
    """Draw a signed map (C,H,W) around middle grey, contrast set by the 99th percentile of its magnitude."""
    magnitude = float(np.percentile(np.abs(values), 99)) or float(np.abs(values).max())
    scaled = values / magnitude if magnitude > 0 else values
    pixels = (127.5 + 127.5 * scaled).clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).convert("RGB")
