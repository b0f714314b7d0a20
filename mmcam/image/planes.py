"""Pictures of other than one or three channels, kept as data: transparency, infrared, the bands of a satellite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.errors import PictureError
from mmcam.image.depth import NOT_FINITE
from mmcam.image.open import PictureLike, channels_last, has_alpha, opened, upright


def load_planes(source: PictureLike, channels: int) -> NDArray[np.float32]:
    """The channels of a picture as they are.

    Args:
        source: an array or integer tensor (H,W,C) or (C,H,W); for four channels also a file or PIL picture with
            transparency.
        channels: C, what the model takes.

    Returns:
        (C,H,W): bytes over 255, uint16 over 65535, floats as they are, in the units of the Preprocess's mean and std.

    Raises:
        PictureError: another number of channels, another type, or values that are not finite.
    """
    pixels = opened(source)
    if isinstance(pixels, Image.Image):
        picture = upright(pixels)
        if channels != 4 or not has_alpha(picture):
            kind = f"A picture of mode {picture.mode!r}{'' if has_alpha(picture) else ' without transparency'}"
            raise PictureError(f"{kind} has no {channels} channels, as the Preprocess says; {_wanted(channels)}.")
        pixels = np.asarray(picture.convert("RGBA"))
    shape, pixels = pixels.shape, channels_last(pixels, (channels,))
    if pixels.ndim != 3 or pixels.shape[2] != channels or pixels.size == 0:
        raise PictureError(
            f"An array of shape {shape} has no {channels} channels, as the Preprocess says; {_wanted(channels)}."
        )
    return np.ascontiguousarray(_shares(pixels).transpose(2, 0, 1))


def shown(planes: NDArray[np.floating]) -> Image.Image:
    """What planes (C,H,W) look like, as RGB: one is grey, of three or four the first three are colours, of others the
    first is stretched to grey.
    """
    if len(planes) not in (1, 3, 4):
        low, high = float(planes[0].min()), float(planes[0].max())
        planes = (planes[:1] - low) / max(high - low, 1e-12)
    seen = (planes[:3].clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(seen[0] if len(planes) == 1 else seen.transpose(1, 2, 0)).convert("RGB")


def _shares(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    if pixels.dtype.kind != "f":
        raise PictureError(f"Channels of {pixels.dtype} have no known scale; pass uint8, uint16 or floats.")
    if not np.isfinite(pixels).all():
        raise PictureError(NOT_FINITE)
    return pixels.astype(np.float32)


def _wanted(channels: int) -> str:
    file = "a picture with transparency, or " if channels == 4 else ""
    return f"pass {file}an array (H,W,{channels}) or ({channels},H,W)"
