"""A picture that is clear where a unit is active and dimmed elsewhere, small enough to be part of a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from mmcam.image import Geometry

SIDE, QUALITY = 160, 60  # of the embedded pictures: 384 units with 6 each weigh 4 to 5 MB
DIM = 0.35  # brightness where a unit is not active


def regions(maps: Tensor, geometry: Geometry, thresholds: Tensor) -> NDArray[np.bool_]:
    """Where units are active (u,H,W) in a picture: their maps (u,h,w) in the picture's pixels, above their thresholds.

    What a crop hides from the model is active nowhere, also where a threshold is below 0.
    """
    seen = geometry.to_original(torch.ones_like(maps[:1])) > 0
    above = geometry.to_original(maps) > thresholds.to(maps.device)[:, None, None]
    return (above & seen).cpu().numpy()


def thumbnail(picture: Image.Image, side: int = SIDE) -> Image.Image:
    """A picture whose longer side is at most `side`."""
    shrink = min(1.0, side / max(picture.size))
    width, height = (max(1, round(side * shrink)) for side in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def spotlight(small: Image.Image, active: NDArray[np.bool_]) -> Image.Image:
    """A thumbnail, dimmed where the region (H,W) of the whole picture is not."""
    mask = Image.fromarray(active.astype(np.uint8) * 255).resize(small.size, Image.Resampling.BOX)
    return Image.composite(small, ImageEnhance.Brightness(small).enhance(DIM), mask)


def data_uri(picture: Image.Image, quality: int = QUALITY) -> str:
    """A picture as text."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
