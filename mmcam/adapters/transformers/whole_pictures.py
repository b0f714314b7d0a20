"""Pictures that an image processor keeps whole: resized in their proportions, with padding at the right and below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmcam.adapters.transformers.pictures import checked, image_processor_of, normalisation, preprocess_from
from mmcam.errors import ExplainError
from mmcam.image import Geometry, Preprocess, Proportional


@dataclass(frozen=True)
class Whole(Proportional):
    """The processor's own pixels, as many as the picture's proportions make them.

    Attributes:
        processor: called with one picture; its ``pixel_values`` are the input, its ``pixel_mask``, where it gives one,
            is 1 on the picture and 0 on the padding.
    """

    processor: Any = None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input (3, H, W) and the geometry that leads back."""
        made = self.processor(images=picture.convert("RGB"), return_tensors="pt")
        x = made["pixel_values"][0]
        mask = made.get("pixel_mask")
        on = torch.ones(x.shape[-2:]) if mask is None else mask[0].float()
        high, wide = int(on.amax(1).sum()), int(on.amax(0).sum())
        scale = high / picture.height, wide / picture.width
        return x, Geometry((picture.height, picture.width), (x.shape[-2], x.shape[-1]), scale)

    @property
    def told(self) -> str:
        """What is done to a picture, in words, and by whom."""
        return f"resized in its proportions by {type(self.processor).__name__}"


def whole_or_fixed(processor: Any) -> Preprocess:
    """How a processor makes pictures: to a fixed size, or in their proportions; measured on a picture of two ramps.

    Raises:
        ExplainError: it puts the pixels elsewhere.
    """
    maker = image_processor_of(processor)
    size = getattr(maker, "size", None)
    fixed = size is None or (size.get("height") and size.get("width"))
    if fixed and not getattr(maker, "keep_aspect_ratio", False):
        return checked(preprocess_from(processor))
    mean, std = normalisation(maker)
    made = Whole(mean=mean, std=std, processor=maker)
    ramps = np.zeros((160, 240, 3), dtype=np.uint8)
    ramps[..., 0], ramps[..., 1] = np.arange(160)[:, None], np.arange(240)
    x, geometry = made(Image.fromarray(ramps))
    high, wide = (round(side * scale) for side, scale in zip(geometry.original, geometry.scale, strict=True))
    theirs = (x[:2, :high, :wide] * torch.tensor(std[:2]).view(2, 1, 1) + torch.tensor(mean[:2]).view(2, 1, 1)) * 255
    expected = torch.from_numpy(ramps).permute(2, 0, 1)[None, :2].float()
    ours = F.interpolate(expected, (high, wide), mode="bilinear", align_corners=False)[0]
    if any(
        float(most) > 1 / scale + 2
        for most, scale in zip((ours - theirs).abs().amax((1, 2)), geometry.scale, strict=True)
    ):
        raise ExplainError(
            f"{type(maker).__name__} puts a picture's pixels where its settings do not say; its geometry is not known."
        )
    return made
