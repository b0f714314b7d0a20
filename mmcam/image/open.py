"""Anything that shows a picture, opened safely as 8-bit RGB, upright."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mmcam.errors import PictureError

PictureLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
"""What `load_image` opens."""

RASTER = ("PNG", "JPEG", "JPEG2000", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "AVIF")
"""The kinds of files that are opened, whatever their names say: Pillow would hand others to programs, as PostScript."""

# Pillow refuses pictures above twice its own limit; the same bound holds for pictures we would make by resizing.
MAX_PIXELS = 178_956_970

NOT_FINITE = "The picture holds NaN or infinite values; pass finite ones."


def open_raster(source: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """Open a file that holds a picture of one of the `RASTER` kinds, by its content.

    Raises:
        OSError: it is of another kind, or not there; as `PIL.Image.open`.
    """
    Image.init()  # a build of Pillow may lack some of them
    return Image.open(source, formats=[kind for kind in RASTER if kind in Image.OPEN])


def load_image(source: PictureLike) -> Image.Image:
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


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise PictureError(f"There is no picture at {path}; check the path.")
    try:
        with open_raster(path) as picture:
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


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise PictureError(f"An array of shape {shape} is no picture; pass (H,W), (H,W,3), (H,W,4) or (3,H,W).")
    return _to_rgb(Image.fromarray(_to_bytes(array)))


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "iuf":
        raise PictureError(f"An array of {array.dtype} is no picture; pass uint8, or floats in 0..1.")
    if not np.isfinite(array).all():
        raise PictureError(NOT_FINITE)
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
