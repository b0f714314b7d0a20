"""Which part of a picture spoke for a class?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from torch import nn

from mmcam.adapters.class_names import classes_of
from mmcam.engine.modules import unwrap
from mmcam.explain.chunks import Errors, Way, explain_each, in_groups
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import Explanation, Explanations
from mmcam.image import Batch
from mmcam.looked import Pictured, opened
from mmcam.methods.registry import Fusion
from mmcam.tasks import classification
from mmcam.tasks.asked import several
from mmcam.tasks.classification import ClassTarget
from mmcam.tasks.names import Names


@overload
def explain_class(
    model: nn.Module,
    images: Pictured,
    target: ClassTarget | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation: ...
@overload
def explain_class(
    model: nn.Module,
    images: Pictured,
    target: Sequence[ClassTarget],
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Sequence[Pictured],
    target: ClassTarget | Sequence[ClassTarget | None] | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Sequence[Pictured],
    target: Sequence[Sequence[ClassTarget]],
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanations[Explanation]]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Iterable[Any],
    target: ClassTarget | Iterable[ClassTarget | None] | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[Explanation]: ...
@overload
def explain_class(
    model: nn.Module,
    images: Iterable[Any],
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["skip"],
    **options: Any,
) -> Any: ...
def explain_class(
    model: Any,
    images: Any,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture spoke for a class.

    Args:
        model: any module from pictures to logits, single- or multi-label, alone or in a structure where
            `mmcam.tasks.logits` finds them.
        images: a path, PIL picture, array, tensor (see `mmcam.image.prepare`), a picture that the model has looked at
            (`mmcam.look`), or a list of them; or a stream: whatever hands out pictures, or batches of them, one after
            the other, as a generator or a ``DataLoader`` does. Of what it hands out as tuples, or as lists of a batch
            and its labels, the first is the pictures.
        target: a class by index or name, or a function output → (N,); default the highest logit. Where the model has
            ``hypernyms``, a wider word means the class under it that has the highest score in each picture: "cat". For
            one picture, a list asks for several classes; for a list of pictures, a list holds one entry a picture, each
            a target or a list of them.
        contrast: a second class; the score becomes the difference, "why this rather than that". Classes that a wider
            word shares with the target are left out: "tabby" rather than "cat" is rather than the next best cat.
        names: the class names, as many as the model has classes: in order, by index (``{0: "cat"}``) or with the index
            (``{"cat": 0}``, torchvision's ``class_to_idx``); default what the model, torchvision or timm says. Two
            names for a single logit are its two sides: the second is what a positive logit says.
        layer, fuse, method, call, options: as in `attribute`.
        preprocess: `mmcam.Preprocess` or torchvision's ``weights.transforms()``; default the model's ``preprocess``,
            or what timm or torchvision say of their networks, else ImageNet's resize to 256, crop to 224. The
            Explanation's ``preparation`` says which it was.
        batch_size: pictures that are opened and explained at a time; default as many as 16 inputs of 224×224 or 64
            million pixels of the pictures themselves take, so that lists and streams of any length fit into memory.
            What a picture gets does not depend on it.
        errors: "raise", or "skip" to go on with the other pictures: then the exception that says in a sentence what is
            wrong (`mmcam.PictureError`, `mmcam.ExplainError`) stands at the picture's place.

    Returns:
        An Explanation, whose ``prediction`` holds probabilities and the five best classes; a list where a list of
        pictures or of targets was given, nested if both; of a stream an iterator over what there would be of a list.

    Raises:
        ExplainError: unknown or ambiguous class (with close matches) or layer; not one target a picture; a model
            without classes, or an output in which they are not clear; not as many names as classes; a contrast that is
            the target itself.
        PictureError: a picture that cannot be used.
    """
    module = unwrap(model)
    classes, how = classes_of(module, names), How(layer, method, call, options, fuse)

    def explain(batch: Batch, targets: Sequence[Any]) -> list[Any]:
        def of(some: Batch, members: list[int]) -> list[Any]:
            asked = classification.ask(module, some, [targets[n] for n in members], contrast, classes)
            return list(explanations(asked, how).as_listed())

        return in_groups(module, batch, [(len(several(entry, "target")), None) for entry in targets], of)

    way = Way(lambda picture: opened(module, picture, preprocess), explain, batch_size, errors)
    return explain_each(images, {"target": target}, way)
