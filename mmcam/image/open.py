"""Anything that shows a picture, opened safely as 8-bit RGB, upright."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mmcam.errors import PictureError
from mmcam.image.depth import to_bytes

PictureLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
"""What `load_image` opens."""

RASTER = ("PNG", "JPEG", "JPEG2000", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "AVIF")
"""The kinds of files that are opened, whatever their names say: Pillow would hand others to programs, as PostScript."""

SUFFIXES = frozenset(
    f".{kind}"
    for kind in "png jpg jpeg jfif jp2 webp gif bmp tif tiff ppm pgm pbm tga ico avif".split()  # noqa: SIM905
)
"""How the names of pictures end, small or in capitals, where a folder is meant with all of its."""

# Pillow refuses pictures above twice its own limit; the same bound holds for pictures we would make by resizing.
MAX_PIXELS = 178_956_970

_BITS_PER_SAMPLE = 258


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
            uint8, uint16, or floats in 0..1. EXIF rotation is applied, transparency is laid on white, and values of
            10, 12, 14 or 16 bits are scaled to 8 (see `mmcam.image.depth.to_bytes`).

    Raises:
        PictureError: unreadable, truncated, too large, empty or of an unknown form; one sentence says which.
    """
    return load_noted(source)[0]


def load_noted(source: PictureLike) -> tuple[Image.Image, str]:
    """The same, with what a reader should know of how it was read; "" if there is nothing."""
    pixels = opened(source)
    if not isinstance(pixels, Image.Image):
        return _from_array(pixels)
    return _to_rgb(pixels, _short(source) if isinstance(source, (str, os.PathLike)) else "The picture")


def opened(source: PictureLike) -> Image.Image | NDArray[Any]:
    """What a user calls a picture, as its pixels are kept: a loaded PIL picture, as it lies in the file, or an array.

    Raises:
        PictureError: it cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open(Path(source))
    if isinstance(source, (Image.Image, np.ndarray)):
        return source
    if isinstance(source, Tensor):
        check_tensor(source)
        tensor = source.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    raise PictureError(
        f"A picture cannot be made from {type(source).__name__}; pass a path, a PIL picture, an array or a tensor."
    )


def check_tensor(tensor: Tensor) -> None:
    """Raise PictureError for a tensor without values that can be read one by one."""
    if tensor.is_meta or tensor.is_nested or tensor.layout != torch.strided or tensor.is_quantized:
        kind = "quantised" if tensor.is_quantized else "on 'meta'" if tensor.is_meta else "sparse or nested"
        raise PictureError(f"A tensor that is {kind} is no picture; pass a dense one of floats or uint8.")


def upright(picture: Image.Image, name: str = "The picture") -> Image.Image:
    """A picture turned as its EXIF data say.

    Raises:
        PictureError: it cannot be read, as one whose file was closed too early, or has no pixels.
    """
    try:
        picture = ImageOps.exif_transpose(picture)
    except Exception as error:  # Pillow's readers raise many kinds for a broken file
        raise _unreadable(name, error) from error
    if min(picture.size) == 0:
        raise PictureError("The picture has no pixels; pass one of at least 1×1.")
    return picture


def has_alpha(picture: Image.Image) -> bool:
    """It has transparency, in a channel or as a colour of its palette."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def channels_last(array: NDArray[Any], counts: tuple[int, ...]) -> NDArray[Any]:
    """An array (H,W,C) or (C,H,W) as (H,W,C), if one of `counts` tells where the channels are."""
    first_only = array.ndim == 3 and array.shape[0] in counts and array.shape[2] not in counts
    return array.transpose(1, 2, 0) if first_only else array


def _open(path: Path) -> Image.Image:
    shown = _short(path)
    try:
        if not path.is_file():
            raise PictureError(f"There is no picture at {shown}; check the path.")
        with open_raster(path) as picture:
            picture.load()
            return picture
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{shown} has more than {MAX_PIXELS:,} pixels; make it smaller before it is explained."
        ) from error
    except Exception as error:  # Pillow's readers raise many kinds for a broken file
        raise _unreadable(shown, error) from error


def _unreadable(name: str, error: Exception) -> PictureError:
    reason = " ".join(str(error).split())[:200]
    return PictureError(f"{name} cannot be read as a picture ({reason}); save it again as PNG or JPEG.")


def _short(path: str | os.PathLike[str]) -> str:
    return str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}…"


def _to_rgb(picture: Image.Image, name: str = "The picture") -> tuple[Image.Image, str]:
    bits = _bits(picture)
    picture = upright(picture, name)
    try:
        if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
            return _from_array(np.asarray(picture), bits)
        if has_alpha(picture):
            rgba = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), ""
        return picture.convert("RGB"), ""
    except PictureError:  # a ValueError, too
        raise
    except Exception as error:  # Pillow's readers raise many kinds for a broken file
        raise _unreadable(name, error) from error


def _bits(picture: Image.Image) -> int | None:
    """The depth of grey values that a TIFF file says, where it is less than the type that holds them."""
    tags = getattr(picture, "tag_v2", None)
    told = None if tags is None else tags.get(_BITS_PER_SAMPLE)
    bits = told[0] if isinstance(told, tuple) and told else told
    return bits if isinstance(bits, int) and 8 < bits < 16 else None


def _from_array(array: NDArray[Any], bits: int | None = None) -> tuple[Image.Image, str]:
    shape = array.shape
    array = channels_last(array, (1, 3, 4))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise PictureError(
            f"An array of shape {shape} is no picture; pass (H,W), (H,W,3), (H,W,4) or (3,H,W), or for data of other "
            "channels a Preprocess with a mean and std for each."
        )
    values, note = to_bytes(array, bits)
    return _to_rgb(Image.fromarray(values))[0], note
