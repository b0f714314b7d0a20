"""From an original picture and a text to what a model of transformers is called with, by its own processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcam.adapters.transformers.pictures import image_processor_of
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Geometry, Preprocess

MIDDLE = 127.5
"""What is taken off a pixel's value, so that a picture of zeros is grey; half precision still holds every value."""


@dataclass(frozen=True)
class Original(Preprocess):
    """The picture as it is, with values from −127.5 to 127.5; the processor is run by the adapter.

    Attributes:
        processor: of pictures; for what is told.
        ready: called with every picture.
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (1 / 255, 1 / 255, 1 / 255)
    processor: Any = None
    ready: Callable[[Image.Image], None] = lambda picture: None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The input (3,H,W) and the geometry that leads back: none is needed."""
        picture = picture.convert("RGB")
        self.ready(picture)
        return to_x(picture), self.geometry(picture.height, picture.width)

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input: at the same places."""
        return Geometry((h, w), (h, w))

    @property
    def told(self) -> str:
        """What is done to a picture, in words."""
        return f"as {type(self.processor).__name__} makes it"


def to_x(picture: Image.Image) -> Tensor:
    """(3,H,W) of a picture."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() - MIDDLE


def to_picture(x: Tensor) -> Image.Image:
    """The picture of an input (3,H,W)."""
    pixels = (x.detach().float() + MIDDLE).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def made_of(processor: Any, x: Tensor, text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a processor makes of a picture (3,H,W) and a prompt; recorded from x on where that is.

    Raises:
        ExplainError: the processor cannot put the two together.
        PictureError: it cannot take a picture of that size.
    """
    picture = to_picture(x)
    try:
        made = dict(processor(images=[picture], text=[text], return_tensors="pt", **options))
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        try:
            image_processor_of(processor)(images=[picture], return_tensors="pt")
        except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as own:
            raise PictureError(
                f"The processor cannot resize a {picture.width}×{picture.height} picture: {' '.join(str(own).split())}."
            ) from own
        raise ExplainError(
            f"{type(processor).__name__} cannot put the picture into the prompt {text[:80]!r} ({reason}); the prompt "
            "has to have one place for it."
        ) from error
    made.pop("labels", None)
    if "input_ids" not in made:
        raise ExplainError(f"{type(processor).__name__} made no tokens; pass the model's whole AutoProcessor.")
    if x.requires_grad and torch.is_grad_enabled():
        made["pixel_values"] = _recorded(processor, x, made)
    return made


def _recorded(processor: Any, x: Tensor, made: Mapping[str, Any]) -> Tensor:
    """The processor's pixels with the gradient of the same steps without rounding.

    Raises:
        ExplainError: its steps have no gradient.
    """
    exact: Tensor = made["pixel_values"]
    soft = image_processor_of(processor)(images=[x.float() + MIDDLE], return_tensors="pt").get("pixel_values")
    if not isinstance(soft, Tensor) or soft.shape != exact.shape or not soft.requires_grad:
        raise ExplainError(
            f"The steps of {type(processor).__name__} carry no gradient back to the pixels; take a method that reads a "
            "layer, as gradcam, or one that changes the picture, as occlusion."
        )
    return exact.to(soft) + soft - soft.detach()


def answered(inputs: Mapping[str, Any], tokens: Tensor, kinds: Mapping[str, int]) -> dict[str, Any]:
    """A processor's inputs with an answer's tokens (L,) behind the prompt's; what has a number a token gets longer."""
    ids: Tensor = inputs["input_ids"]
    made = dict(inputs)
    for name, value in inputs.items():
        if not isinstance(value, Tensor) or value.ndim < 2 or value.shape[:2] != ids.shape or name == "input_ids":
            continue
        last = value[:, -1:] if name == "cross_attention_mask" else torch.zeros_like(value[:, -1:])
        last = torch.ones_like(last) if name == "attention_mask" else last + kinds.get(name, 0) if kinds else last
        made[name] = torch.cat([value, last.to(value.dtype).expand(-1, len(tokens), *[-1] * (value.ndim - 2))], 1)
    return {**made, "input_ids": torch.cat([ids, tokens[None].to(ids)], 1)}
