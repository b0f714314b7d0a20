"""What the classes of a network are called, by its own word or that of the library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mmcam.adapters.timm import timm_classes
from mmcam.errors import ExplainError
from mmcam.tasks.classification import Classes
from mmcam.tasks.names import Names, Wider, named

_EMBEDDING = ("open_clip.", "clip.model", "sentence_transformers.")
"""Modules, by the beginning of their name, all of whose networks give embeddings."""


def class_names(model: nn.Module) -> Sequence[str] | None:
    """The names of a model's classes, in order; None where nothing says, empty where it is known to have no classes.

    They are the model's own ``classes``, its ``config.id2label``, or ImageNet's for a classifier of torchvision or timm
    with as many outputs. No classes has a network of theirs whose last layer was taken off, and those of open_clip.
    """
    for own in (getattr(model, "classes", None), getattr(getattr(model, "config", None), "id2label", None)):
        if isinstance(own, (Sequence, Mapping)) and own and (names := _read(own)) is not None:
            return names
    if _gives_features(model):
        return ()
    if type(model).__module__.startswith("torchvision.models.") and _outputs(model) == 1000:
        from torchvision.models import ResNet50_Weights

        categories: list[str] = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
        return categories
    return timm_classes(model)


def classes_of(model: nn.Module, names: Names | None = None) -> Classes:
    """What is known of a model's classes.

    Args:
        model: its own ``synonyms`` and ``hypernyms``, from a word to indices, are further names.
        names: the user's, instead of the model's.
    """
    if names is not None:
        return Classes(named(names), Wider(), class_probabilities(model))
    own = class_names(model)
    further = (_words(getattr(model, each, None), len(own or ())) for each in ("synonyms", "hypernyms"))
    return Classes(own, Wider(*further), class_probabilities(model))


def _words(own: Any, count: int) -> dict[str, tuple[int, ...]]:
    """A model's attribute as words with the classes they mean; empty if it means something else."""
    if not isinstance(own, Mapping):
        return {}
    read, known = {}, set(range(count))
    for word, indices in own.items():
        many = isinstance(indices, (tuple, list, set, Sequence)) and not isinstance(indices, str)
        each = tuple(indices) if many else ()
        if not isinstance(word, str) or not each or any(i not in known for i in each):
            return {}
        read[word] = each
    return read


def class_probabilities(model: nn.Module) -> str:
    """What makes probabilities of a model's logits, if anything says: "softmax", "sigmoid" or "".

    It is the model's own ``class_probabilities``, or the ``problem_type`` of a transformers config.
    """
    own = getattr(model, "class_probabilities", None)
    if own in ("softmax", "sigmoid"):
        return str(own)
    config = getattr(model, "config", None) or getattr(getattr(model, "model", None), "config", None)
    problem = getattr(config, "problem_type", None)
    known = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax"}
    return known.get(problem, "") if isinstance(problem, str) else ""


def _read(own: Any) -> Sequence[str] | None:
    """A model's attribute as names; None if it means something else."""
    try:
        return named(own)
    except ExplainError:
        return None


def _gives_features(model: nn.Module) -> bool:
    """Whether the library that a network comes from says that it gives features or an embedding."""
    library = f"{type(model).__module__}."
    if library.startswith("timm.models."):
        return getattr(model, "num_classes", None) == 0
    if library.startswith("torchvision.models."):
        return isinstance(next(reversed(list(model.children())), None), nn.Identity)
    return library.startswith(_EMBEDDING)


def _outputs(model: nn.Module) -> int | None:
    widths = [
        module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for module in model.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    return widths[-1] if widths else None
