"""Where in a picture something is asked about: some of its pixels, a box, or one pixel that was clicked on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.image.open import opened
from mmcam.tasks.names import short
from mmcam.tasks.targets import is_list

RegionLike = Any
"""A mask bool (H,W), as an array, a tensor, a picture or its path; a box (left, top, right, bottom); a click (x, y)."""

FORMS = "a mask (H,W), a box (left, top, right, bottom) or a click (x, y)"


@dataclass(frozen=True, eq=False)
class Region:
    """Some pixels of a picture.

    Attributes:
        kind: "mask", "box" or "click".
        at: the box, right and bottom exclusive, or (x, y), in pixels of the original picture; () for a mask.
        pixels: the mask, bool (H,W) over the original picture; None for a box or a click.
    """

    kind: Literal["mask", "box", "click"]
    at: tuple[float, ...] = ()
    pixels: NDArray[np.bool_] | None = None

    def mask(self, width: int, height: int) -> NDArray[np.bool_]:
        """The region as bool (H,W) over a picture; of a box the pixels that lie at least half in it.

        Raises:
            ExplainError: it is a mask of another size, holds no pixel, or lies outside of the picture.
        """
        if self.pixels is not None:
            if self.pixels.shape != (height, width):
                raise ExplainError(
                    f"The mask has {self.pixels.shape[1]}×{self.pixels.shape[0]} pixels and the picture "
                    f"{width}×{height}; pass one of the picture's own size."
                )
            return self.pixels
        mask = np.zeros((height, width), bool)
        if self.kind == "click":
            x, y = self.at
            if not (0 <= x < width and 0 <= y < height):
                raise ExplainError(
                    f"The {self} lies outside of the picture of {width}×{height} pixels; choose one in it."
                )
            mask[int(y), int(x)] = True
            return mask
        left, top, right, bottom = self.within(width, height)
        rows, columns = (
            slice(round(low), max(round(low) + 1, round(high))) for low, high in ((top, bottom), (left, right))
        )
        mask[min(rows.start, height - 1) : rows.stop, min(columns.start, width - 1) : columns.stop] = True
        return mask

    def within(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of the box that lies in a picture.

        Raises:
            ExplainError: there is none.
        """
        left, top, right, bottom = self.at
        part = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if part[0] >= part[2] or part[1] >= part[3]:
            raise ExplainError(
                f"The {self} lies outside of the picture of {width}×{height} pixels; give it in the picture's pixels."
            )
        return part

    def __str__(self) -> str:
        if self.pixels is not None:
            count = int(self.pixels.sum())
            return f"mask of {count:,} pixel{'' if count == 1 else 's'}"
        return f"{'pixel' if self.kind == 'click' else 'box'} ({', '.join(f'{value:.4g}' for value in self.at)})"

    def summary(self) -> dict[str, Any]:
        """Ready for JSON, without the pixels of a mask."""
        return {"kind": self.kind, "at": list(self.at), "told": str(self)}


@dataclass(frozen=True)
class Candidate:
    """What of a model's many answers was explained: a box of a detector, or a query that draws a mask.

    Attributes:
        index: among the model's answers for the picture.
        box: its own, (left, top, right, bottom) in pixels of the original picture; None for a query that draws a mask.
        overlap: of a box, its intersection over union with the one that was asked about, 1 where none was; of a mask,
            its mean probability over the region.
        probability: of the class that is explained.
    """

    index: int
    box: tuple[float, float, float, float] | None
    overlap: float
    probability: float

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "index": self.index,
            "box": None if self.box is None else list(self.box),
            "overlap": self.overlap,
            "probability": self.probability,
        }


def read_regions(given: Any, boxes: bool = False) -> Any:
    """Whatever a user calls a region as a `Region`, several as a list of them, of several pictures' a list of lists.

    Args:
        given: see `RegionLike`; a list of regions, also as an array or tensor (R,4), (R,2) or bool (R,H,W).
        boxes: only boxes are meant, and None is one that the model chooses.

    Raises:
        ExplainError: it is none; a mask without a pixel; a box whose sides are in the wrong order.
    """
    if isinstance(given, Region) or (boxes and given is None):
        return given
    if not boxes and isinstance(given, (str, os.PathLike, Image.Image)):
        return _of_picture(given)
    array = _array(given)
    if array is not None and array.ndim >= 2:
        points = array.dtype != bool and array.ndim == 2 and array.shape[1] in (2, 4)
        if points or array.ndim > 2:
            return [read_regions(each, boxes) for each in array]
        if not boxes:
            return _of_mask(array)
    if array is not None and array.ndim == 1:
        return _of_numbers(array.tolist(), boxes)
    if is_list(given) and len(given):
        numbers = [_number(value) for value in given]
        if all(value is not None for value in numbers):
            return _of_numbers(given, boxes)
        return [read_regions(each, boxes) for each in given]
    raise _none(given, boxes)


def _array(given: Any) -> NDArray[Any] | None:
    if isinstance(given, Tensor):
        return given.detach().cpu().to(torch.float32 if given.is_floating_point() else given.dtype).numpy()
    return given if isinstance(given, np.ndarray) else None


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value)


def _of_numbers(given: Sequence[Any], boxes: bool) -> Region:
    at = tuple(float(value) for value in given)
    if not all(np.isfinite(at)) or len(at) not in ((4,) if boxes else (2, 4)):
        raise _none(given, boxes)
    if len(at) == 2:
        return Region("click", at)
    if at[0] >= at[2] or at[1] >= at[3]:
        raise ExplainError(
            f"A box is (left, top, right, bottom) with left < right and top < bottom, and {short(at)} is none."
        )
    return Region("box", at)


def _of_picture(given: str | os.PathLike[str] | Image.Image) -> Region:
    """A mask in a picture: what is not black, and of one with transparency what is opaque, too."""
    pixels = opened(Path(given) if isinstance(given, str) else given)
    assert isinstance(pixels, Image.Image)
    return _of_mask(np.asarray(pixels.convert("L")) > 0)


def _of_mask(array: NDArray[Any]) -> Region:
    if array.dtype.kind not in "biuf":
        raise _none(array, False)
    mask = array.astype(bool)
    if not mask.any():
        raise ExplainError("The mask of the region is empty: it holds no pixel; mark at least one.")
    return Region("mask", pixels=mask)


def _none(given: Any, boxes: bool) -> ExplainError:
    if boxes:
        return ExplainError(
            f"A box is (left, top, right, bottom) in pixels of the picture, and {short(given)} is none."
        )
    return ExplainError(f"A region is {FORMS} in pixels of the picture, and {short(given)} is none.")
