"""Masks of many classes as pictures: palette PNGs, in VOC's colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def in_palette(classes: NDArray[np.integer]) -> Image.Image:
    """Classes (H, W) as a palette PNG in VOC's colours, which follow from the bits of an index."""
    image = Image.fromarray(classes.astype(np.uint8), "P")
    image.putpalette([value for index in range(256) for value in colour(index)])
    return image


def colour(index: int) -> tuple[int, int, int]:
    """The colour of a class in VOC's palette: its bits 0, 1, 2 are red's, green's, blue's highest, and so on."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]
