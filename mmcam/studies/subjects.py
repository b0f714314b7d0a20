"""A model that a study is about: what it says of a picture, whether that is right, and maps of it as stimuli."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image
from torch import Tensor, nn

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.meant import meant
from mmcam.engine.modules import unwrap
from mmcam.preparation import batch_of
from mmcam.report.spotlight import thumbnail
from mmcam.tasks.classification import class_scores
from mmcam.tasks.names import named

SIDE: Final = 448
"""Pixels of a stimulus's longer side, at most."""
_NUMBER: Final = re.compile(r"n\d{8}|\d{1,9}")
CHUNK: Final = 8
"""Pictures that are explained at a time."""


@dataclass(frozen=True)
class Subject:
    """A classifier, and which of its classes the labels of the pictures mean.

    Attributes:
        name: how it is called in the study's key.
        model: left as found.
        preprocess: as in `mmcam.explain_class`.
        classes: the labels of all pictures, each with the classes that it means.
        several: each class is asked for by itself, so a picture may have several.
        names: of its classes, where it has names.
    """

    name: str
    model: nn.Module
    preprocess: Any
    classes: Mapping[str, tuple[int, ...]]
    several: bool
    names: Sequence[str] | None = None

    def told(self, label: str) -> str:
        """A label as people read it: of an index or a WordNet ID the model's own name."""
        if _NUMBER.fullmatch(label) and self.names is not None:
            return self.name_of(self.classes[label][0])
        return label.replace("_", " ")

    def name_of(self, index: int) -> str:
        """A class as people read it: the first of its names."""
        return f"class {index}" if self.names is None else self.names[index].partition(",")[0]

    def scores(self, picture: Path) -> Tensor:
        """Logits (K) of a picture."""
        return _scores(self.model, self.preprocess, picture)

    def best(self, label: str, scores: Tensor) -> int:
        """Of the classes that a label means the one with the highest score."""
        return max(self.classes[label], key=lambda index: float(scores[index]))

    def finds(self, label: str, scores: Tensor) -> bool:
        """Whether the model is right about a label: its logit is positive, or the highest where there is one class."""
        index = self.best(label, scores)
        return float(scores[index]) > 0 if self.several else index == int(scores.argmax())

    def ranked(self, scores: Tensor) -> list[int]:
        """Classes, the likeliest first; where a picture may have several, those that a label means."""
        meant_ones = {index for classes in self.classes.values() for index in classes}
        order: list[int] = scores.argsort(descending=True).tolist()
        return [index for index in order if not self.several or index in meant_ones]

    def stimuli(self, pictures: Sequence[Path], targets: Sequence[int], method: str) -> list[Image.Image]:
        """A visualisation of a class of each picture, as raters see it."""
        found: list[Image.Image] = []
        for start in range(0, len(pictures), CHUNK):
            part = slice(start, start + CHUNK)
            maps = mmcam.explain_class(
                self.model, list(pictures[part]), list(targets[part]), method=method, preprocess=self.preprocess
            )
            found += [thumbnail(exp.overlay(), SIDE) for exp in maps]
        return found


def subject(name: str, model: Any, preprocess: Any, labels: Sequence[str], picture: Path) -> Subject:
    """A model with what it has to do with labels.

    Args:
        name: how it is called.
        model: a classifier.
        preprocess: as in `mmcam.explain_class`.
        labels: of all pictures.
        picture: one of them, which shows how many classes there are.

    Raises:
        ExplainError: labels that mean no class of the model.
    """
    module = unwrap(model)
    classes = classes_of(module, None)
    count = len(_scores(module, preprocess, picture))
    known, several = meant(labels, classes, count), classes.probabilities == "sigmoid"
    return Subject(name, module, preprocess, known, several, named(classes.names))


def _scores(model: nn.Module, preprocess: Any, picture: Path) -> Tensor:
    batch, classes = batch_of(model, [picture], preprocess), classes_of(model, None)
    return class_scores(model, batch.x, classes)[0].float().cpu()
