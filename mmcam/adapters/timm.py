"""Networks of timm: how their pictures are prepared and what their classes are called, from timm's own records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image
from torch import nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess


@dataclass(frozen=True)
class Squashed(Preprocess):
    """Both sides are resized to `full`, then the centre of `size` is cut, with mode "crop".

    Attributes:
        full: (height, width) before the cut.
    """

    full: tuple[int, int] = (224, 224)

    @property
    def _told_places(self) -> str:
        return f"resize to {self.full[1]}×{self.full[0]}, crop {self.size[1]}×{self.size[0]}"

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        return self.full


def timm_preprocess(model: nn.Module) -> Preprocess | None:
    """How timm evaluates one of its networks (its data config, ``timm.data.create_transform``); None for others.

    Raises:
        ExplainError: timm resizes its pictures in a way that `Preprocess` does not know.
    """
    if not _of_timm(model):
        return None
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(model)
    (h, w), share, mode = config["input_size"][1:], config["crop_pct"], config["crop_mode"]
    mean, std = tuple(config["mean"]), tuple(config["std"])
    resample = Image.Resampling[config["interpolation"].upper()]
    full = math.floor(h / share), math.floor(w / share)
    if mode == "squash":
        return Squashed((h, w), "crop", None, mean, std, resample, full=full)
    if mode == "center" and h == w:
        return Preprocess((h, w), "crop", full[0], mean, std, resample)
    if mode == "border" and share == 1:
        return Preprocess((h, w), "pad", None, mean, std, resample)
    raise ExplainError(
        f"timm prepares the pictures of {type(model).__name__} by crop_mode={mode!r} of {share:.0%} to {h}×{w}, whose "
        "way back is not known; pass preprocess=mmcam.Preprocess(…)."
    )


def timm_classes(model: nn.Module) -> Sequence[str] | None:
    """The names of ImageNet's classes, if a network of timm has as many outputs as one of its lists; else None."""
    if not _of_timm(model):
        return None
    from timm.data.imagenet_info import infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    return None if subset is None else _names_of(subset)


@cache
def _names_of(subset: str) -> tuple[str, ...]:
    """Read once: the list lies in files, and is asked for with every explanation."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo(subset).label_descriptions())


def _of_timm(model: nn.Module) -> bool:
    return type(model).__module__.startswith("timm.models.")
