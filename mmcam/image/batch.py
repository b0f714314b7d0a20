"""Whatever a user calls a picture, or a list of them, as one batch for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcam.errors import PictureError
from mmcam.image.depth import NOT_FINITE
from mmcam.image.geometry import Geometry
from mmcam.image.open import PictureLike, check_tensor, load_noted
from mmcam.image.planes import load_planes, shown
from mmcam.image.preprocess import Preprocess

AS_GIVEN = "none: a prepared input"
"""What is told of an input that came prepared."""


@dataclass(frozen=True)
class Batch:
    """Pictures ready for a model.

    Attributes:
        x: inputs (N,C,H,W).
        pictures: what each looks like, RGB.
        geometries: the way back to its pixels.
        single: one picture was given, not a list.
        notes: what a reader should know of how each was read; "" for nothing.
        preparations: how the input of each was made, in words.
        kept: what a model's encoder gave for them before, if it was kept (see `mmcam.engine.kept`).
    """

    x: Tensor
    pictures: list[Image.Image]
    geometries: list[Geometry]
    single: bool
    notes: list[str] = field(default_factory=list)
    preparations: list[str] = field(default_factory=list)
    kept: tuple[Any, ...] = ()

    def rows(self, indices: Sequence[int]) -> Batch:
        """Some of the pictures, in any order and number, as a list."""
        at = list(indices)
        x = self.x if at == list(range(len(self.x))) else self.x[at]
        notes, told = ([each[i] for i in at] if each else [] for each in (self.notes, self.preparations))
        pictures, geometries = [self.pictures[i] for i in at], [self.geometries[i] for i in at]
        return Batch(x, pictures, geometries, False, notes, told, self.kept)


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, a list.

    Raises:
        PictureError: their inputs have different shapes.
    """
    shapes = {tuple(batch.x.shape[1:]) for batch in batches}
    if len(shapes) > 1:
        raise PictureError(
            f"The inputs of one batch need one shape; these are {sorted(shapes)}. Explain the pictures one by one "
            "(batch_size=1), or pass preprocess=mmcam.Preprocess(size=…, mode='squash')."
        )
    return Batch(
        torch.cat([batch.x for batch in batches]),
        [picture for batch in batches for picture in batch.pictures],
        [geometry for batch in batches for geometry in batch.geometries],
        False,
        [note for batch in batches for note in batch.notes],
        [how for batch in batches for how in batch.preparations],
        tuple(dict.fromkeys(kept for batch in batches for kept in batch.kept)),
    )


def prepare(
    images: PictureLike | Sequence[PictureLike], preprocess: Preprocess, device: torch.device, dtype: torch.dtype
) -> Batch:
    """Make one batch of whatever the user calls a picture, or a list of them.

    Float tensors (C,H,W) or (N,C,H,W) are taken as prepared inputs and pass unchanged; everything else is opened and
    goes through `preprocess`: made grey for one mean, RGB for three, and for any other number taken as data of as many
    channels (see `mmcam.image.planes`). A single picture gives ``single=True``; a list, or a 4-D tensor or array, a
    list.

    Raises:
        PictureError: no picture at all, or one that cannot be used.
    """
    sources: list[PictureLike]
    if isinstance(images, Tensor):
        check_tensor(images)
    if isinstance(images, (Tensor, np.ndarray)):
        single = images.ndim != 4
        sources = [images] if single else list(images)
    elif isinstance(images, Sequence) and not isinstance(images, str):
        single, sources = False, list(images)
    else:
        single, sources = True, [images]
    if not sources:
        raise PictureError("There is no picture in the list; pass at least one.")
    made = [_batch_of_one(source, preprocess, device, dtype) for source in sources]
    return made[0] if single else joined(made)


def prepared(source: object) -> bool:
    """It is a model's input already: a tensor of floats."""
    return isinstance(source, Tensor) and source.is_floating_point()


def _batch_of_one(source: PictureLike, preprocess: Preprocess, device: torch.device, dtype: torch.dtype) -> Batch:
    x, picture, geometry, note = _input_of(source, preprocess)
    how = AS_GIVEN if prepared(source) else preprocess.told
    return Batch(x.detach().to(device, dtype)[None], [picture], [geometry], True, [note], [how])


def _input_of(source: PictureLike, preprocess: Preprocess) -> tuple[Tensor, Image.Image, Geometry, str]:
    """One picture's input, what it looks like, the way back to its pixels, and a note."""
    if not (isinstance(source, Tensor) and prepared(source)):
        if len(preprocess.mean) not in (1, 3):
            planes = load_planes(source, len(preprocess.mean))
            x, geometry = preprocess.planes(planes)
            return x, shown(planes), geometry, ""
        picture, note = load_noted(source)
        x, geometry = preprocess(picture)
        return x, picture, geometry, note
    check_tensor(source)
    if source.ndim != 3:
        raise PictureError(
            f"A prepared input has shape (C,H,W) or, for several, (N,C,H,W); this one is {tuple(source.shape)}."
        )
    if not torch.isfinite(source.float()).all():  # float8 is not asked
        raise PictureError(NOT_FINITE)
    size = (source.shape[1], source.shape[2])
    return source, _show_input(source, preprocess), Geometry(size, size), ""


def _show_input(x: Tensor, preprocess: Preprocess) -> Image.Image:
    """What a prepared input looks like; without the usual three channels, its first channel stretched to grey."""
    if x.shape[0] == len(preprocess.mean):
        return preprocess.denormalise(x)
    grey = x[0].detach().float().cpu()
    span = (grey.max() - grey.min()).clamp(min=1e-12)
    return shown(((grey - grey.min()) / span)[None].numpy())
