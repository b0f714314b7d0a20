"""Which outputs of a network say that a category is in the picture?

A network finetuned on COCO or VOC has one output a category. One trained on ImageNet has none; there a category's score
is the log-sum-exp of the logits of the ImageNet classes that are kinds of it, by the table imagenet_categories.csv:
dog = Chihuahua … Mexican hairless. It leaves out what ImageNet has no class of its own for, as people, giraffes and
kites (the class "kite" is the bird).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from torch import Tensor

TABLE: Final = Path(__file__).with_name("imagenet_categories.csv")
VOC_AS_COCO: Final = MappingProxyType(
    {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "motorbike": "motorcycle",
        "pottedplant": "potted plant",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
)
"""VOC's names that COCO spells in another way."""


def outputs_of(names: Sequence[str], outputs: int) -> dict[str, list[int]]:
    """The outputs whose log-sum-exp is a category's score, for each category that a network knows.

    Args:
        names: the data set's categories, in the order of a finetuned network's outputs; COCO's or VOC's.
        outputs: how many the network has: one a category, or ImageNet's 1000.

    Raises:
        ValueError: another number.
    """
    if outputs == len(names):
        return {name: [i] for i, name in enumerate(names)}
    if outputs != 1000:
        raise ValueError(
            f"The network has {outputs} outputs; one with {len(names)}, one a category, or ImageNet's 1000 would do."
        )
    known = imagenet()
    return {name: known[VOC_AS_COCO.get(name, name)] for name in names if VOC_AS_COCO.get(name, name) in known}


@cache
def imagenet() -> Mapping[str, list[int]]:
    """COCO's categories and the indices of the ImageNet classes that are kinds of them, in torchvision's order."""
    found: dict[str, list[int]] = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["category"], []).append(int(row["index"]))
    return found


def score_of(outputs: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """A category's score (N,) of a network's logits (N, classes); of one output the logit itself."""

    def score(logits: Tensor) -> Tensor:
        return logits[:, list(outputs)].logsumexp(1)

    return score
