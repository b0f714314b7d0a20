"""Pictures as a transformers image processor makes them, with the way back to the original pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcam.errors import ExplainError, PictureError
from mmcam.image import MAX_PIXELS, Geometry, Preprocess


@dataclass(frozen=True)
class Processed(Preprocess):
    """The processor's own pixels; size and mode say where they lie.

    Attributes:
        processor: called with one picture; its ``pixel_values`` are the input.
        squashed: (height, width) that every picture is squashed to before its centre is cut, with mode "crop".
    """

    processor: Any = None
    squashed: tuple[int, int] | None = None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input (3, H, W) and the geometry that leads back.

        Raises:
            ExplainError: the processor does not do what its settings say.
            PictureError: the picture is so elongated that a centre crop would need an enormous enlargement.
        """
        h, w = self._resized(picture.height, picture.width)
        if h * w > MAX_PIXELS:
            raise PictureError(
                f"A picture of {picture.width}×{picture.height} pixels is too elongated for a centre crop; cut it."
            )
        x = self.processor(images=picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        if tuple(x.shape[-2:]) != self.size:
            raise ExplainError(
                f"{type(self.processor).__name__} made an input of {tuple(x.shape[-2:])} where its settings say "
                f"{self.size}; its geometry is not known."
            )
        return x, self.geometry(picture.height, picture.width)

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input."""
        new = self._resized(h, w)
        # Unlike torchvision's, the processors' crop rounds half a pixel down.
        top, left = (
            (full - part) // 2 if part <= full else -((part - full) // 2)
            for full, part in zip(self.size, new, strict=True)
        )
        return Geometry((h, w), self.size, (new[0] / h, new[1] / w), (float(top), float(left)))

    @property
    def told(self) -> str:
        """What is done to a picture, in words, and by whom."""
        return f"{super().told}, by {type(self.processor).__name__}"

    @property
    def _told_places(self) -> str:
        if self.squashed is None:
            return super()._told_places
        return f"resize to {self.squashed[1]}×{self.squashed[0]}, crop {self.size[1]}×{self.size[0]}"

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        return self.squashed or super()._resized(h, w)


def image_processor_of(processor: Any) -> Any:
    """The part of a processor that makes pictures."""
    return getattr(processor, "image_processor", processor)


def tokenizer_of(processor: Any) -> Any:
    """The part of a processor that reads and writes text.

    Raises:
        ExplainError: it has none.
    """
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:
        raise ExplainError(f"{type(processor).__name__} has no tokenizer; pass the model's whole AutoProcessor.")
    return tokenizer


def preprocess_from(processor: Any) -> Processed:
    """The geometry of an image processor that resizes to a fixed size, or resizes and cuts the centre.

    Raises:
        ExplainError: it makes pictures of another kind.
    """
    maker = image_processor_of(processor)
    size, crop = _sides(getattr(maker, "size", None)), _sides(getattr(maker, "crop_size", None))
    cuts = bool(getattr(maker, "do_center_crop", False)) and isinstance(crop, tuple)
    share = getattr(maker, "crop_pct", None)
    mode: Literal["squash", "crop"] = "crop" if cuts else "squash"
    short: int | None = None
    squashed: tuple[int, int] | None = None
    final = crop if cuts else size
    if size is None:
        raise ExplainError(f"{type(maker).__name__} makes pictures of no fixed size; its geometry is not known.")
    if isinstance(size, int):  # the shorter side
        short = size
        if share and not cuts:  # ConvNeXt's rule, of ResNet and RegNet, too: only the large ones are squashed
            final = (size, size)
            if size < 384:
                mode, short = "crop", int(size / share)
        elif not cuts:
            raise ExplainError(f"{type(maker).__name__} keeps a picture's proportions; its geometry is not known.")
    elif cuts:
        squashed = size
    assert isinstance(final, tuple)
    mean, std = normalisation(maker)
    return Processed(final, mode, short, mean, std, processor=maker, squashed=squashed)


def checked(preprocess: Processed) -> Processed:
    """The same, if its processor puts the pixels where its settings say; measured on a picture of two ramps.

    Raises:
        ExplainError: it puts them elsewhere: it has a rule of its own.
    """
    levels = np.zeros((160, 240, 3), dtype=np.uint8)
    levels[..., 0], levels[..., 1] = np.arange(160)[:, None], np.arange(240)
    picture = Image.fromarray(levels)
    theirs, geometry = preprocess(picture)
    apart = (Preprocess.__call__(preprocess, picture)[0] - theirs) * torch.tensor(preprocess.std).view(3, 1, 1) * 255
    # A cut larger than the picture is filled up, with another colour than ours.
    top, left = (max(0, int(side)) for side in geometry.offset)
    apart = apart.abs()[:2, top : geometry.input[0] - top, left : geometry.input[1] - left].amax((1, 2))
    # One pixel of the input, in levels, for roundings and filters.
    if any(float(most) > 1 / scale + 2 for most, scale in zip(apart, geometry.scale, strict=True)):
        raise ExplainError(
            f"{type(preprocess.processor).__name__} puts a picture's pixels where its settings do not say; its "
            "geometry is not known, so pass preprocess=mmcam.Preprocess(…) and the model unwrapped."
        )
    return preprocess


def normalisation(maker: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that a processor's input has of values in 0..1, whatever steps lead there."""
    mean, std = [0.0] * 3, [1.0] * 3
    if getattr(maker, "do_normalize", True):
        mean, std = list(getattr(maker, "image_mean", None) or mean), list(getattr(maker, "image_std", None) or std)
    # EfficientNet's steps: values to -1..1, and divided by the deviation once more
    factor = 255 * getattr(maker, "rescale_factor", 1 / 255) if getattr(maker, "do_rescale", True) else 255.0
    offset = 1.0 if getattr(maker, "rescale_offset", False) else 0.0
    again = getattr(maker, "image_std", std) if getattr(maker, "include_top", False) else [1.0] * 3
    return (
        tuple((m + offset) / factor for m in mean),
        tuple(s * t / factor for s, t in zip(std, again, strict=True)),
    )


def _sides(size: Any) -> tuple[int, int] | int | None:
    """(height, width), the shorter side, or None for neither."""
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    given = dict(size)
    if given.get("height") and given.get("width"):
        return int(given["height"]), int(given["width"])
    return int(given["shortest_edge"]) if given.get("shortest_edge") and not given.get("longest_edge") else None
