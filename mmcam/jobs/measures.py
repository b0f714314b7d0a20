"""The figures of a row: what the truth of a picture says of a map, and how faithful a map is to its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmcam import evaluation as ev
from mmcam.adapters.class_names import classes_of
from mmcam.datasets.concepts.coco import region
from mmcam.diagnosis.labelled import joined_masks
from mmcam.diagnosis.meant import meant
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.explanation import Explanation
from mmcam.image import Batch
from mmcam.jobs.items import Item, Truth
from mmcam.looked import batch_with
from mmcam.tasks.classification import class_scores

Meant = Mapping[str, tuple[int, ...]]


def meanings(model: Any, names: Any, labels: Sequence[str], picture: Batch, lenient: bool) -> tuple[Meant, list[str]]:
    """Which of the model's classes each label of the truth means.

    Args:
        model: a classifier.
        names: of its classes, where they are given.
        labels: of the truth.
        picture: one that the model takes, to see how many classes there are.
        lenient: labels that the model does not know are passed over, as a data set has more than a model knows.

    Returns:
        The classes of each label, and the labels that were passed over.

    Raises:
        ExplainError: none of the labels is a class of the model, or one that has to be is not.
    """
    module = unwrap(model)
    classes = classes_of(module, names)
    count = class_scores(module, batch_with(module, [picture], None).x, classes).shape[1]
    if not lenient:
        return meant(labels, classes, count), []
    found: dict[str, tuple[int, ...]] = {}
    strange = []
    for label in labels:
        try:
            found |= meant([label], classes, count)
        except ExplainError:
            strange.append(label)
    return found, strange


def against_truth(exp: Explanation, item: Item, root: str, known: Meant) -> dict[str, float | None]:
    """What the truth says of a class and its map.

    Returns:
        "correct": whether the model's best class is true. Where the class that is explained is true and it is known
        where it is: "pointing", whether the peak lies on it; "iou", of the box and the best of its boxes; "mass", the
        share of the map on it.

    Raises:
        PictureError: a mask that cannot be read, or of another size than its picture.
    """
    if item.truth is None or not item.truth.classes or exp.prediction is None:
        return {}
    true = {index: label for label in item.truth.classes for index in known.get(label, ())}
    if not true:
        return {}
    found: dict[str, float | None] = {"correct": float(exp.prediction.best[0].index in true)}
    label = true.get(-1 if exp.prediction.index is None else exp.prediction.index)
    mask = None if label is None else where(item.truth, label, item, root, exp.geometry.original)
    if label is None or mask is None or not mask.any():
        return found
    box, boxes = exp.box(), item.truth.boxes.get(label) or [_around(mask)]
    return found | {
        "pointing": float(ev.inside(exp.peak(), mask)),
        "iou": 0.0 if box is None else max(float(ev.iou(ev.inclusive(box), each)) for each in boxes),
        "mass": ev.mass(exp.heatmap, mask),
    }


def answered(exp: Explanation, item: Item) -> dict[str, float | None]:
    """How right an answer is, by VQA's rule; nothing where no answers are known."""
    answers = () if item.truth is None else item.truth.answers
    return {"accuracy": ev.vqa_accuracy(exp.target, answers)} if answers else {}


def faithful(model: Any, names: Any, exp: Explanation, picture: Batch) -> dict[str, float | None]:
    """How much the probability of the explained class hangs on what its map shows (see `mmcam.evaluation`).

    Returns:
        "deletion" and "insertion", the areas under their curves; "drop" (0..1), the share of the probability that is
        lost when only what the map shows is left, and "increase", whether it rises.
    """
    if exp.prediction is None or exp.prediction.index is None:
        return {}
    module, index = unwrap(model), exp.prediction.index
    classes, x = classes_of(module, names), batch_with(module, [picture], None).x[0]
    single = exp.prediction.activation == "sigmoid"

    def probability(pictures: Tensor) -> Tensor:
        logits = class_scores(module, pictures, classes).double()
        return (logits.sigmoid() if single else logits.softmax(1))[:, index]

    with torch.no_grad():
        heatmap = F.interpolate(exp.cam[None, None].float(), x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        if not torch.isfinite(heatmap).all():
            return {}
        deletion, insertion = (curve(probability, x, heatmap).area for curve in (ev.deletion, ev.insertion))
        whole, seen = probability(x[None]), probability(ev.seen_through(x[None], heatmap[None]))
    lost = float(ev.drops(whole, seen)[0]) if float(whole[0]) > 0 else None
    return {"deletion": deletion, "insertion": insertion, "drop": lost, "increase": float(bool(whole < seen))}


def where(truth: Truth, label: str, item: Item, root: str, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where a class is in a picture of (height, width): bool (H,W); None where nothing says.

    Raises:
        PictureError: a mask that cannot be read, or of another size.
    """
    if not any(label in known for known in (truth.boxes, truth.masks, truth.segments)):
        return None
    masks = [Path(root) / mask for mask in truth.masks.get(label, ())]
    found = joined_masks(masks, Path(item.picture), size[::-1]) | ev.covered(truth.boxes.get(label, ()), size[::-1])
    for segment in truth.segments.get(label, ()):
        try:
            found |= region(segment, *size)
        except ImportError as error:
            raise ExplainError("COCO's masks need pycocotools; install it with pip install 'mmcam[coco]'.") from error
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise PictureError(f"A segmentation of {item.picture} is broken or of another size ({error}).") from error
    return found


def _around(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The box around a mask, right and bottom inclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])
