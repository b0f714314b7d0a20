"""What a trained network makes of a picture: a class for every pixel."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmcam.diagnosis.segmentation.crf import dense, mean_field, pairs
from mmcam.diagnosis.segmentation.losses import probabilities
from mmcam.diagnosis.segmentation.network import Segmenter
from mmcam.errors import ExplainError
from mmcam.image import Preprocess

FieldOver = Literal["grid", "dense", "none"]
"""Over what a field smooths: `FINE` cells a side, every pixel, or nothing."""
FINE: Final = 41
"""Cells of a picture's longer side that the field on a grid has."""


def check_field(field: str) -> FieldOver:
    """The same.

    Raises:
        ExplainError: there is no such field.
    """
    if field not in get_args(FieldOver):
        raise ExplainError(f"There is no field {field!r}; choose grid, dense or none.")
    return field  # type: ignore[return-value]


def classes_of_pixels(
    network: Segmenter, picture: Image.Image, preprocess: Preprocess, field: FieldOver = "grid"
) -> NDArray[np.uint8]:
    """The class of each pixel.

    Args:
        network: in eval mode.
        picture: RGB, of any size.
        preprocess: how it becomes the network's input; squashed.
        field: "grid" smooths exactly, on a grid of `FINE` cells; "dense" approximately, at every pixel, by pydensecrf.

    Returns:
        (H, W), 0 for background.

    Raises:
        ExplainError: pydensecrf is not installed.
    """
    like = next(network.parameters())
    with torch.inference_mode():
        p = probabilities(network(preprocess(picture)[0][None].to(like)))
        if field == "dense":
            whole = dense(_large(p, picture.size)[0].cpu().numpy(), np.asarray(picture))
            return np.asarray(whole.argmax(0), dtype=np.uint8)
        if field == "grid":
            small = picture.copy()
            small.thumbnail((FINE, FINE), Image.Resampling.BOX)
            coarse = _large(p, small.size)
            p = mean_field(coarse.log(), pairs(colours(small).to(like)[None]))
        return np.asarray(_large(p, picture.size)[0].argmax(0).cpu().numpy(), dtype=np.uint8)


def colours(picture: Image.Image) -> Tensor:
    """A picture as (3, H, W) in 0..255."""
    pixels: Any = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float()


def _large(p: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, h, w) → that of pictures of a (width, height)."""
    return F.interpolate(p, size[::-1], mode="bilinear", align_corners=False)
