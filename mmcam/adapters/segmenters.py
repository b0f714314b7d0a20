"""Networks that segment, as they come from torchvision, segmentation_models_pytorch or a user.

What is known of them: how their pictures are prepared, and what their classes are called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from mmcam.adapters.class_names import classes_of
from mmcam.image import Preprocess, Proportional, preprocess_of
from mmcam.tasks.classification import Classes
from mmcam.tasks.names import Names

UNKNOWN = Proportional((64, 64), resize=520, multiple=32, enlarge=False)
"""How the pictures of a network are made of which nothing says it: whole, since a cut would leave regions out."""


def segmenter_preprocess(model: nn.Module) -> tuple[Preprocess, bool]:
    """How a network's pictures are made, and whether that is only assumed."""
    if getattr(model, "preprocess", None) is not None:
        return preprocess_of(model.preprocess), False
    preset = torchvision_preset(model)
    return (UNKNOWN, True) if preset is None else (preprocess_of(preset.transforms()), False)


def segmenter_classes(model: nn.Module, names: Names | None) -> Classes:
    """What is known of a network's classes: the user's names, the model's own, or torchvision's for as many outputs."""
    preset = torchvision_preset(model)
    own = classes_of(model, names)
    if names is not None or (own.names is not None and len(own.names)) or preset is None:
        return own
    categories: Sequence[str] = preset.meta["categories"]
    return Classes(categories) if _outputs(model) == len(categories) else Classes()


def torchvision_preset(model: nn.Module) -> Any:
    """Published weights (a member of torchvision's enumeration) of a network for places or boxes; None of others."""
    kind = type(model).__module__
    if not kind.startswith(("torchvision.models.segmentation.", "torchvision.models.detection.")):
        return None
    from torchvision.models import WeightsEnum

    each = [k for k in vars(sys.modules[kind]).values() if isinstance(k, type) and issubclass(k, WeightsEnum)]
    kinds: list[Any] = [k for k in each if k.__module__ == kind]  # backbones' weights are imported there, too
    presets: list[Any] = [preset for each in kinds for preset in each if preset.meta.get("categories")]
    return presets[0] if presets else None


def _outputs(model: nn.Module) -> int | None:
    """The channels of the last convolution, also of a head that only helped in training: both have one a class."""
    widths = [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]
    return widths[-1] if widths else None
