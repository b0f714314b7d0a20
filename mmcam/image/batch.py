"""Whatever a user calls a picture, or a list of them, as one batch for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcam.errors import PictureError
from mmcam.image.geometry import Geometry
from mmcam.image.open import NOT_FINITE, PictureLike, load_image
from mmcam.image.preprocess import Preprocess


@dataclass(frozen=True)
class Batch:
    """Pictures ready for a model: inputs (N,C,H,W), what each looks like, and the way back to its pixels."""

    x: Tensor
    pictures: list[Image.Image]
    geometries: list[Geometry]
    single: bool


def prepare(
    images: PictureLike | Sequence[PictureLike], preprocess: Preprocess, device: torch.device, dtype: torch.dtype
) -> Batch:
    """Make one batch of whatever the user calls a picture, or a list of them.

    Float tensors (C,H,W) or (N,C,H,W) are taken as prepared inputs and pass unchanged; everything else goes through
    `load_image` and `preprocess`. A single picture gives ``single=True``; a list, or a 4-D tensor or array, a list.

    Raises:
        PictureError: no picture at all, or one that cannot be used.
    """
    sources: list[PictureLike]
    if isinstance(images, (Tensor, np.ndarray)):
        single = images.ndim != 4
        sources = [images] if single else list(images)
    elif isinstance(images, Sequence) and not isinstance(images, str):
        single, sources = False, list(images)
    else:
        single, sources = True, [images]
    if not sources:
        raise PictureError("There is no picture in the list; pass at least one.")
    inputs, pictures, geometries = [], [], []
    for source in sources:
        x, picture, geometry = _input_of(source, preprocess)
        inputs.append(x.detach().to(device, dtype))
        pictures.append(picture)
        geometries.append(geometry)
    shapes = {tuple(x.shape) for x in inputs}
    if len(shapes) > 1:
        raise PictureError(
            f"The inputs of one batch need one shape; these are {sorted(shapes)}. Explain the pictures one by one, or "
            "pass preprocess=mmcam.Preprocess(size=…, mode='squash')."
        )
    return Batch(torch.stack(inputs), pictures, geometries, single)


def _input_of(source: PictureLike, preprocess: Preprocess) -> tuple[Tensor, Image.Image, Geometry]:
    """One picture's input, what it looks like, and the way back to its pixels."""
    if not (isinstance(source, Tensor) and source.is_floating_point()):
        picture = load_image(source)
        x, geometry = preprocess(picture)
        return x, picture, geometry
    if source.ndim != 3:
        raise PictureError(
            f"A prepared input has shape (C,H,W) or, for several, (N,C,H,W); this one is {tuple(source.shape)}."
        )
    if not torch.isfinite(source).all():
        raise PictureError(NOT_FINITE)
    size = (source.shape[1], source.shape[2])
    return source, _show_input(source, preprocess), Geometry(size, size)


def _show_input(x: Tensor, preprocess: Preprocess) -> Image.Image:
    """What a prepared input looks like; without the usual three channels, its first channel stretched to grey."""
    if x.shape[0] == len(preprocess.mean):
        return preprocess.denormalise(x)
    grey = x[0].detach().float().cpu()
    span = (grey.max() - grey.min()).clamp(min=1e-12)
    return Image.fromarray(((grey - grey.min()) / span * 255).byte().numpy()).convert("RGB")
