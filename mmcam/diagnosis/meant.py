"""Which of a model's classes the labels of somebody's pictures mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.tasks.classification import Classes
from mmcam.tasks.names import Group, class_index, named

Meanings = Mapping[str, tuple[int, ...]]
"""The model's classes that each label means."""

_WNID = re.compile(r"n\d{8}")
_SEVERAL = 3
"""Labels that a message names."""


def meanings(explainer: Explainer, pictures: Sequence[LabelledPicture]) -> Meanings:
    """What the labels mean to the model; it is asked of the first picture that can be opened.

    Raises:
        ExplainError: no picture can be opened; labels that are none of the model's classes; no classifier.
    """
    labels = sorted({label for picture in pictures for label in picture.labels})
    why = ""
    for picture in pictures:
        try:
            exp = mmcam.explain_class(explainer.model, picture.path, names=explainer.names, **explainer.how)
        except PictureError as error:
            why = str(error)
            continue
        if exp.prediction is None:
            raise ExplainError(f"{exp.model} is no classifier; pass one, or a table of captions or of questions.")
        return meant(labels, classes_of(unwrap(explainer.model), explainer.names), exp.prediction.classes)
    raise ExplainError(f"None of the {len(pictures)} pictures can be opened: {why}")


def meant(labels: Sequence[str], classes: Classes, count: int) -> dict[str, tuple[int, ...]]:
    """The classes that each label means: one, or of a wider word, as "dog", all that are dogs.

    A label is a class's name, in any case and with _ or - for blanks; its index, written in digits; of a model of
    ImageNet's classes its WordNet id, as "n02123045"; or what the model knows as a synonym or wider word.

    Args:
        labels: as folders or a table call them.
        classes: of the model.
        count: how many the model has.

    Raises:
        ExplainError: labels that mean no class of the model, or several.
    """
    known = named(classes.names)
    ids = _imagenet_ids() if count == 1000 and any(map(_WNID.fullmatch, labels)) else {}
    found: dict[str, tuple[int, ...]] = {}
    strange: list[tuple[str, str]] = []
    for label in labels:
        try:
            found[label] = _one(label, classes, known, ids, count)
        except ExplainError as error:
            strange.append((label, str(error)))
    if strange:
        listed = ", ".join(label for label, _ in strange[:_SEVERAL]) + (" …" if len(strange) > _SEVERAL else "")
        raise ExplainError(
            f"{len(strange)} of the {len(labels)} labels ({listed}) are none of the model's {count} classes: "
            f"{strange[0][1]} Name the folders or the table's classes as the model does, or pass the model's names."
        )
    return found


def _one(label: str, classes: Classes, known: Sequence[str] | None, ids: dict[str, int], count: int) -> tuple[int, ...]:
    if label in ids:
        return (ids[label],)
    if re.fullmatch("[0-9]{1,9}", label) and label not in (known or ()):
        if int(label) >= count:
            raise ExplainError(f"The model has classes 0…{count - 1}, and no {label}.")
        return (int(label),)
    try:
        own = class_index(label, known, classes.wider)
    except ExplainError:
        spaced = re.sub("[_-]+", " ", label)
        if spaced == label:
            raise
        own = class_index(spaced, known, classes.wider)
    return own.classes if isinstance(own, Group) else (own,)


def _imagenet_ids() -> dict[str, int]:
    """ImageNet's WordNet ids in their usual order."""
    from timm.data.imagenet_info import ImageNetInfo

    return {wnid: index for index, wnid in enumerate(ImageNetInfo().label_names())}
