"""Which part of a picture spoke for a class?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import nn

from mmcam.adapters.class_names import classes_of
from mmcam.engine.modules import unwrap
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import Explanation
from mmcam.image import PictureLike
from mmcam.preparation import batch_of
from mmcam.tasks import classification
from mmcam.tasks.classification import ClassTarget
from mmcam.tasks.names import Names


@overload
def explain_class(
    model: nn.Module,
    images: PictureLike,
    target: ClassTarget | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation: ...
@overload
def explain_class(
    model: nn.Module,
    images: PictureLike,
    target: Sequence[ClassTarget],
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[Explanation]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Sequence[PictureLike],
    target: ClassTarget | Sequence[ClassTarget | None] | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[Explanation]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Sequence[PictureLike],
    target: Sequence[Sequence[ClassTarget]],
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[list[Explanation]]: ...
@torch.inference_mode(False)  # tensors made in inference mode cannot be recorded
def explain_class(
    model: nn.Module,
    images: Any,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture spoke for a class.

    Args:
        model: any module from pictures to logits, single- or multi-label, alone or in a structure where
            `mmcam.tasks.logits` finds them.
        images: a path, PIL picture, array, tensor (see `mmcam.image.prepare`), or a list of them.
        target: a class by index or name, or a function output → (N,); default the highest logit. Where the model has
            ``hypernyms``, a wider word means the class under it that has the highest score in each picture: "cat". For
            one picture, a list asks for several classes; for a list of pictures, a list holds one entry a picture, each
            a target or a list of them.
        contrast: a second class; the score becomes the difference, "why this rather than that". Classes that a wider
            word shares with the target are left out: "tabby" rather than "cat" is rather than the next best cat.
        names: the class names, as many as the model has classes: in order, by index (``{0: "cat"}``) or with the index
            (``{"cat": 0}``, torchvision's ``class_to_idx``); default what the model, torchvision or timm says. Two
            names for a single logit are its two sides: the second is what a positive logit says.
        layer, method, call, options: as in `attribute`.
        preprocess: `mmcam.Preprocess` or torchvision's ``weights.transforms()``; default the model's ``preprocess``,
            or timm's for its networks, else ImageNet's resize to 256, crop to 224.

    Returns:
        An Explanation, whose ``prediction`` holds probabilities and the five best classes; a list where a list of
        pictures or of targets was given, nested if both.

    Raises:
        ExplainError: unknown or ambiguous class (with close matches) or layer; not one target a picture; a model
            without classes, or an output in which they are not clear; not as many names as classes; a contrast that is
            the target itself.
        PictureError: a picture that cannot be used.
    """
    module = unwrap(model)
    batch = batch_of(module, images, preprocess)
    asked = classification.ask(module, batch, target, contrast, classes_of(module, names))
    return explanations(asked, How(layer, method, call, options)).as_listed()
