"""Open pictures safely, prepare them for a model, and bring maps back to the original pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from mmcam.errors import PictureError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pillow refuses pictures above twice its own limit; the same bound holds for pictures we would make by resizing.
MAX_PIXELS = 178_956_970

Picture = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor
"""A picture: its path, itself, or its values; of four dimensions, arrays and tensors are several pictures."""

_NOT_FINITE = "The picture holds NaN or infinite values; pass finite ones."


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a picture lie in a model's input: ``input = scale · original + offset``, per axis.

    Sizes are (height, width) in pixels; positions are continuous, pixel centres at ``i + 0.5``.
    """

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def to_original(self, maps: Tensor) -> Tensor:
        """Sample maps over the model's input at the pixels of the original picture.

        Bilinear with pixel centres (the rule of ``cv2.resize`` and of ``F.interpolate(align_corners=False)``), so a
        resized picture gets exactly ``F.interpolate(maps, original)``; what a crop never showed to the model gets 0.

        Args:
            maps: (..., h, w), any resolution, spanning the whole input.

        Returns:
            (..., H, W) float32 over the original picture.
        """
        h, w = maps.shape[-2:]
        flat = maps.detach().float().reshape(1, -1, h, w)
        ys, xs = (self._input_positions(axis, maps.device) for axis in (0, 1))
        grid = torch.stack(torch.meshgrid(2 * ys - 1, 2 * xs - 1, indexing="ij")[::-1], dim=-1)
        sampled = F.grid_sample(flat, grid[None].float(), padding_mode="border", align_corners=False)
        seen = ((ys >= 0) & (ys <= 1))[:, None] & ((xs >= 0) & (xs <= 1))
        return (sampled * seen).reshape(*maps.shape[:-2], *self.original)

    def _input_positions(self, axis: int, device: torch.device) -> Tensor:
        """Original pixel centres along one axis as fractions (0..1) of the input's side."""
        # float64 here: at 10,000 pixels float32 positions are off by a visible part of a cell.
        centres = torch.arange(self.original[axis], dtype=torch.float64, device="cpu") + 0.5
        return ((centres * self.scale[axis] + self.offset[axis]) / self.input[axis]).to(device, torch.float32)


@dataclass(frozen=True)
class Preprocess:
    """How a model's pictures are made: resize, crop or pad, then normalise. Its inverse is the `Geometry`.

    Attributes:
        size: (height, width) of the model's input in pixels.
        mode: "squash" resizes both sides to `size`; "crop" resizes the shorter side to `resize` and cuts the centre;
            "pad" fits the longer side into `size` and centres the picture on the mean colour.
        resize: length of the shorter side before a crop; default the longer side of `size`.
        mean, std: per-channel normalisation of values in 0..1.
        resample: Pillow's filter (always antialiased, as torchvision does on Pillow pictures).
    """

    size: tuple[int, int] = (224, 224)
    mode: Literal["squash", "crop", "pad"] = "crop"
    resize: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """Prepare one picture.

        Returns:
            The input (3, H, W) float32, normalised, and the geometry that leads back.

        Raises:
            PictureError: the picture is so elongated that a centre crop would need an enormous enlargement.
        """
        picture = picture.convert("RGB")
        w, h = picture.size
        new_h, new_w = self._resized(h, w)
        if new_h * new_w > MAX_PIXELS:
            raise PictureError(
                f"A picture of {w}×{h} pixels is too elongated for a centre crop; use a Preprocess with "
                "mode='squash' or mode='pad', or cut the picture first."
            )
        resized = picture.resize((new_w, new_h), self.resample)
        top, left = (_centre(full, part) for full, part in zip(self.size, (new_h, new_w), strict=True))
        fill = tuple(round(255 * m) for m in self.mean)
        canvas = Image.new("RGB", self.size[::-1], fill)
        canvas.paste(resized, (left, top))
        return self.normalise(torch.from_numpy(np.array(canvas)).permute(2, 0, 1)), self.geometry(h, w)

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input."""
        new = self._resized(h, w)
        top, left = (_centre(full, part) for full, part in zip(self.size, new, strict=True))
        return Geometry((h, w), self.size, (new[0] / h, new[1] / w), (float(top), float(left)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Bytes (..., 3, H, W) uint8 → normalised float32 of the same shape."""
        mean, std = (torch.tensor(v, device=pixels.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def denormalise(self, x: Tensor) -> Image.Image:
        """The picture that an input (3, H, W) shows."""
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        pixels = ((x.detach().float().cpu() * std + mean).clamp(0, 1) * 255).round().byte()
        return Image.fromarray(pixels.permute(1, 2, 0).numpy())

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        if self.mode == "squash":
            return self.size
        if self.mode == "crop":
            # torchvision's rule: the longer side is truncated, not rounded.
            short = self.resize or max(self.size)
            return (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
        ratio = min(self.size[0] / h, self.size[1] / w)
        return max(1, round(h * ratio)), max(1, round(w * ratio))


def preprocess_of(transform: Any) -> Preprocess:
    """The `Preprocess` that equals a torchvision ``weights.transforms()`` preset (or is one already).

    Raises:
        TypeError: `transform` is a transform whose geometry cannot be read.
    """
    if isinstance(transform, Preprocess):
        return transform
    fields = ("crop_size", "resize_size", "mean", "std", "interpolation")
    if not all(hasattr(transform, name) for name in fields):
        raise TypeError(
            f"Cannot read where {type(transform).__name__} puts the pixels, so maps could not be brought back; pass "
            "mmcam.Preprocess(size=…, mode=…, mean=…, std=…), torchvision's weights.transforms(), or a prepared tensor."
        )
    filters = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1, "box": 4, "hamming": 5}
    crop = transform.crop_size[0]
    return Preprocess(
        size=(crop, crop),
        mode="crop",
        resize=transform.resize_size[0],
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        resample=Image.Resampling(filters[transform.interpolation.value]),
    )


def load_image(source: Any) -> Image.Image:
    """Open anything that shows a picture as 8-bit RGB, upright.

    Args:
        source: a path; a PIL picture; an array or uint8 tensor (H,W), (H,W,C) or (C,H,W) with 1, 3 or 4 channels, as
            uint8, uint16, or floats in 0..1. EXIF rotation is applied, transparency is laid on white, 16-bit depth
            is scaled to 8 bits.

    Raises:
        PictureError: unreadable, truncated, too large, empty or of an unknown form; one sentence says which.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open(Path(source))
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise PictureError(
        f"A picture cannot be made from {type(source).__name__}; pass a path, a PIL picture, an array or a tensor."
    )


@dataclass(frozen=True)
class Batch:
    """Pictures ready for a model: inputs (N,C,H,W), what each looks like, and the way back to its pixels."""

    x: Tensor
    pictures: list[Image.Image]
    geometries: list[Geometry]
    single: bool


def prepare(images: Any, preprocess: Preprocess, device: torch.device, dtype: torch.dtype) -> Batch:
    """Make one batch of whatever the user calls a picture, or a list of them.

    Float tensors (C,H,W) or (N,C,H,W) are taken as prepared inputs and pass unchanged; everything else goes through
    `load_image` and `preprocess`. A single picture gives ``single=True``; a list, or a 4-D tensor or array, a list.

    Raises:
        PictureError: no picture at all, or one that cannot be used.
    """
    stacked = isinstance(images, (Tensor, np.ndarray)) and images.ndim == 4
    single = not stacked and (not isinstance(images, Sequence) or isinstance(images, str))
    sources: list[Any] = [images] if single else list(images)
    if not sources:
        raise PictureError("There is no picture in the list; pass at least one.")
    inputs, pictures, geometries = [], [], []
    for source in sources:
        if isinstance(source, Tensor) and source.is_floating_point():
            if source.ndim != 3:
                raise PictureError(
                    f"A prepared input has shape (C,H,W) or, for several, (N,C,H,W); this one is {tuple(source.shape)}."
                )
            if not torch.isfinite(source).all():
                raise PictureError(_NOT_FINITE)
            x, picture = source, _show_input(source, preprocess)
            geometry = Geometry((x.shape[1], x.shape[2]), (x.shape[1], x.shape[2]))
        else:
            picture = load_image(source)
            x, geometry = preprocess(picture)
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


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise PictureError(f"There is no picture at {path}; check the path.")
    try:
        with Image.open(path) as picture:
            picture.load()
            return _to_rgb(picture)
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{path} has more than {MAX_PIXELS:,} pixels; make it smaller before it is explained."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{path} cannot be read as a picture ({error}); save it again as PNG or JPEG.") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if min(picture.size) == 0:
        raise PictureError("The picture has no pixels; pass one of at least 1×1.")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _from_array(np.asarray(picture))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise PictureError(f"An array of shape {shape} is no picture; pass (H,W), (H,W,3), (H,W,4) or (3,H,W).")
    return _to_rgb(Image.fromarray(_to_bytes(array)))


def _to_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "iuf":
        raise PictureError(f"An array of {array.dtype} is no picture; pass uint8, or floats in 0..1.")
    if not np.isfinite(array).all():
        raise PictureError(_NOT_FINITE)
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return (array * 255).round().astype(np.uint8)
    if low >= 0 and high <= 255 and array.dtype != np.uint16:
        return array.round().astype(np.uint8)
    if low >= 0 and high <= 65535:
        return (array / 257).round().astype(np.uint8)
    raise PictureError(
        f"The values of the array ({array.dtype}, {low:g} to {high:g}) are no picture's; pass uint8, or floats in 0..1."
    )


def _show_input(x: Tensor, preprocess: Preprocess) -> Image.Image:
    """What a prepared input looks like; without the usual three channels, its first channel stretched to grey."""
    if x.shape[0] == len(preprocess.mean):
        return preprocess.denormalise(x)
    grey = x[0].detach().float().cpu()
    span = (grey.max() - grey.min()).clamp(min=1e-12)
    return Image.fromarray(((grey - grey.min()) / span * 255).byte().numpy()).convert("RGB")


def _centre(full: int, part: int) -> int:
    """Offset that centres `part` in `full` (negative: how much a crop cuts), rounded as torchvision's center_crop."""
    return (full - part) // 2 if part <= full else -round((part - full) / 2)
