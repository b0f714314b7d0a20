"""Pictures as a transformers image processor makes them, with the way back to the original pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from mmcam.engine import ExplainError
from mmcam.image import Geometry, Preprocess


@dataclass(frozen=True)
class Processed(Preprocess):
    """The processor's own pixels; size and mode say where they lie.

    Attributes:
        processor: called with one picture; its ``pixel_values`` are the input.
    """

    processor: Any = None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input (3, H, W) and the geometry that leads back."""
        x = self.processor(images=picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        if tuple(x.shape[-2:]) != self.size:
            raise ExplainError(
                f"{type(self.processor).__name__} made an input of {tuple(x.shape[-2:])} where its settings say "
                f"{self.size}; its geometry is not known."
            )
        return x, self.geometry(picture.height, picture.width)


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
    cuts = bool(getattr(maker, "do_center_crop", False)) and crop is not None
    mode: Literal["squash", "crop"] = "squash"
    short: int | None = None
    if size is None:
        raise ExplainError(f"{type(maker).__name__} makes pictures of no fixed size; its geometry is not known.")
    if isinstance(size, int):  # the shorter side
        if not cuts:
            raise ExplainError(f"{type(maker).__name__} keeps a picture's proportions; its geometry is not known.")
        mode, short = "crop", size
    elif cuts and crop != size:
        raise ExplainError(f"{type(maker).__name__} squashes and cuts; its geometry is not known.")
    final = crop if mode == "crop" else size
    assert isinstance(final, tuple)
    mean = tuple(getattr(maker, "image_mean", None) or (0.0, 0.0, 0.0))
    std = tuple(getattr(maker, "image_std", None) or (1.0, 1.0, 1.0))
    if not getattr(maker, "do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Processed(final, mode, short, mean, std, processor=maker)


def _sides(size: Any) -> tuple[int, int] | int | None:
    """(height, width), the shorter side, or None for neither."""
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    given = dict(size)
    if given.get("height") and given.get("width"):
        return int(given["height"]), int(given["width"])
    return int(given["shortest_edge"]) if given.get("shortest_edge") and not given.get("longest_edge") else None
