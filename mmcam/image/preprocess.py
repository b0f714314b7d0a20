"""How a model's pictures are made: resized, cropped or padded, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.errors import ExplainError, PictureError
from mmcam.image.geometry import Geometry
from mmcam.image.open import MAX_PIXELS
from mmcam.image.planes import shown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """How a model's pictures are made: resize, crop or pad, then normalise. Its inverse is the `Geometry`.

    Attributes:
        size: (height, width) of the model's input in pixels.
        mode: "squash" resizes both sides to `size`; "crop" resizes the shorter side to `resize` and cuts the centre;
            "pad" fits the longer side into `size` and centres the picture on the mean colour.
        resize: length of the shorter side before a crop; default the longer side of `size`.
        mean, std: per-channel normalisation of values in 0..1. Their number is that of the model's channels: one makes
            pictures grey, three RGB, and others take the channels of an array as they are.
        resample: Pillow's filter (always antialiased, as torchvision does on Pillow pictures).
    """

    size: tuple[int, int] = (224, 224)
    mode: Literal["squash", "crop", "pad"] = "crop"
    resize: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def __post_init__(self) -> None:
        """Raise PictureError for a mean and std of different lengths."""
        if not self.mean or len(self.mean) != len(self.std):
            raise PictureError(
                f"A Preprocess has a mean and a std for each channel, not {len(self.mean)} and {len(self.std)} of them."
            )

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """Prepare one picture.

        Returns:
            The input (C, H, W) float32, normalised, and the geometry that leads back; C is 1 or 3.

        Raises:
            PictureError: the picture is so elongated that a centre crop would need an enormous enlargement.
        """
        fill = tuple(round(255 * m) for m in self.mean)
        canvas = self._placed(picture.convert("L" if len(fill) == 1 else "RGB"), fill[0] if len(fill) == 1 else fill)
        pixels = torch.from_numpy(np.array(canvas).reshape(*self.size, -1)).permute(2, 0, 1)
        return self.normalise(pixels), self.geometry(picture.height, picture.width)

    def planes(self, values: NDArray[np.float32]) -> tuple[Tensor, Geometry]:
        """Prepare a picture of any number of channels.

        Args:
            values: (C, H, W), in the units of `mean` and `std`.

        Returns:
            The input (C, H, W) float32, normalised, and the geometry that leads back.

        Raises:
            PictureError: as for one picture.
        """
        made = [self._placed(Image.fromarray(v), float(m)) for v, m in zip(values, self.mean, strict=True)]
        x = torch.stack([torch.from_numpy(np.array(plane)) for plane in made])
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std, self.geometry(*values.shape[1:])

    def _placed(self, picture: Image.Image, fill: Any) -> Image.Image:
        """A picture resized into the input's size, cut or padded."""
        w, h = picture.size
        new_h, new_w = self._resized(h, w)
        if new_h * new_w > MAX_PIXELS:
            raise PictureError(
                f"A picture of {w}×{h} pixels is too elongated for a centre crop; use a Preprocess with "
                "mode='squash' or mode='pad', or cut the picture first."
            )
        top, left = (_centre(full, part) for full, part in zip(self.size, (new_h, new_w), strict=True))
        canvas = Image.new(picture.mode, self.size[::-1], fill)
        canvas.paste(picture.resize((new_w, new_h), self.resample), (left, top))
        return canvas

    @property
    def told(self) -> str:
        """What is done to a picture, in words: "resize 256, crop 224×224, bilinear, mean 0.485 …, std 0.229 …"."""
        mean, std = (" ".join(f"{value:.3g}" for value in each) for each in (self.mean, self.std))
        return f"{self._told_places}, {self.resample.name.lower()}, mean {mean}, std {std}"

    @property
    def _told_places(self) -> str:
        """The same of where the pixels go."""
        size = f"{self.size[1]}×{self.size[0]}"
        if self.mode == "crop":
            return f"resize {self.resize or max(self.size)}, crop {size}"
        return f"resize to {size}" if self.mode == "squash" else f"fit into {size}, pad"

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input."""
        new = self._resized(h, w)
        top, left = (_centre(full, part) for full, part in zip(self.size, new, strict=True))
        return Geometry((h, w), self.size, (new[0] / h, new[1] / w), (float(top), float(left)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Bytes (..., C, H, W) uint8 → normalised float32 of the same shape."""
        mean, std = (torch.tensor(v, device=pixels.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def denormalise(self, x: Tensor) -> Image.Image:
        """The picture that an input (C, H, W) shows, as RGB (see `mmcam.image.planes.shown`)."""
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return shown((x.detach().float().cpu() * std + mean).numpy())

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        if self.mode == "squash":
            return self.size
        if self.mode == "crop":
            # torchvision's rule: the longer side is truncated, not rounded.
            short = self.resize or max(self.size)
            return (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
        ratio = min(self.size[0] / h, self.size[1] / w)
        return max(1, round(h * ratio)), max(1, round(w * ratio))


@dataclass(frozen=True)
class Proportional(Preprocess):
    """The shorter side becomes `resize`, the longer one along with it, and nothing is cut: of networks of any size.

    Attributes:
        multiple: both sides are rounded to multiples of it, as strides and skips may need.
        enlarge: pictures whose shorter side is less than `resize` are enlarged; else they keep their size.
    """

    multiple: int = 1
    enlarge: bool = True

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """As `Preprocess`, with an input as large as the picture makes it."""
        return self._squash(picture.height, picture.width)(picture)

    def planes(self, values: NDArray[np.float32]) -> tuple[Tensor, Geometry]:
        """As `Preprocess`, with an input as large as the picture makes it."""
        return self._squash(*values.shape[1:]).planes(values)

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input."""
        return self._squash(h, w).geometry(h, w)

    def _squash(self, h: int, w: int) -> Preprocess:
        return Preprocess(self._resized(h, w), "squash", None, self.mean, self.std, self.resample)

    @property
    def _told_places(self) -> str:
        side = f"{'' if self.enlarge else 'at most '}{self.resize or max(self.size)}"
        return f"shorter side {side}" + (f", multiples of {self.multiple}" if self.multiple > 1 else "")

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        short = self.resize or max(self.size)
        short = short if self.enlarge else min(short, h, w)
        # torchvision's rule: the longer side is truncated, not rounded.
        sides = (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
        if sides[0] * sides[1] > MAX_PIXELS:
            raise PictureError(f"A picture of {w}×{h} pixels is too elongated to keep its proportions; cut it first.")
        height, width = (max(self.multiple, round(side / self.multiple) * self.multiple) for side in sides)
        return height, width


def preprocess_of(transform: Any) -> Preprocess:
    """The `Preprocess` that equals a torchvision ``weights.transforms()`` preset (or is one already).

    Raises:
        ExplainError: `transform` is a transform whose geometry cannot be read; its size or mode makes no picture.
    """
    if isinstance(transform, Preprocess):
        _check(transform)
        return transform
    fields = ("resize_size", "mean", "std", "interpolation")
    if not all(getattr(transform, name, None) for name in fields):
        raise ExplainError(
            f"Cannot read where {type(transform).__name__} puts the pixels, so maps could not be brought back; pass "
            "mmcam.Preprocess(size=…, mode=…, mean=…, std=…), torchvision's weights.transforms(), or a prepared tensor."
        )
    filters = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1, "box": 4, "hamming": 5}
    resample, short = Image.Resampling(filters[transform.interpolation.value]), transform.resize_size[0]
    mean, std = tuple(transform.mean), tuple(transform.std)
    if not hasattr(transform, "crop_size"):  # of segmentation
        return Proportional((short, short), resize=short, mean=mean, std=std, resample=resample)
    crop = transform.crop_size[0]
    return Preprocess((crop, crop), "crop", short, mean, std, resample)


def _check(made: Preprocess) -> None:
    """Raise ExplainError for a size or a mode that makes no picture."""
    sides = [*made.size] if isinstance(made.size, (tuple, list)) else []
    sides += [] if made.resize is None else [made.resize]
    whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    if not whole or len(sides) < 2 or len(made.size) != 2:
        raise ExplainError(
            f"A Preprocess needs size=(height, width) and resize= in whole pixels; size={made.size!r}, "
            f"resize={made.resize!r} are none."
        )
    if made.mode not in ("squash", "crop", "pad"):
        raise ExplainError(f"A Preprocess knows mode='squash', 'crop' or 'pad'; {made.mode!r} is none.")


def _centre(full: int, part: int) -> int:
    """Offset that centres `part` in `full` (negative: how much a crop cuts), rounded as torchvision's center_crop."""
    return (full - part) // 2 if part <= full else -round((part - full) / 2)
