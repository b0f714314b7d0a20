"""Steps of Grad-CAM left out or done otherwise: the boxes and maxima of its maps, in records, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from rich.progress import track

import mmcam
from experiments.lib.photographs import Network, spread
from experiments.lib.records import add, checksum, read
from mmcam.evaluation import mean
from mmcam.evaluation.localisation import Box, Located, inclusive, localised
from mmcam.evaluation.pointing import inside

WHOLE: Final = "Grad-CAM"
PUBLISHED: Final = {  # top-1 localisation error on ILSVRC-15, remembered, not read again
    WHOLE: 59.65,
    "no ReLU": 74.98,
    "absolute gradients": 58.19,
    "global max pooling": 59.96,
    "deconvnet ReLUs": 83.95,
    "guided ReLUs": 59.14,
}
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    WHOLE: {},
    "no ReLU": {"relu": False},
    "absolute gradients": {"absolute": True},
    "global max pooling": {"pooling": "max"},
    "deconvnet ReLUs": {"relu_rule": "deconv"},
    "guided ReLUs": {"relu_rule": "guided"},
}
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "vignette-classifier": ("encoder.features.6", "encoder.features.13", "encoder.features.19", "encoder.features.26"),
    "MobileNetV2": ("features.3", "features.6", "features.13", "features.17"),
    "SqueezeNet 1.0": ("features.3", "features.5", "features.7", "features.10"),
    "EfficientNet-Lite0": ("blocks.1", "blocks.2", "blocks.4", "blocks.6"),
    "EfficientNet-Lite2": ("blocks.1", "blocks.2", "blocks.4", "blocks.6"),
}
"""Layers before the last; of the photographs' networks the last at each resolution, or near it."""


Truth = tuple[Sequence[Box], np.ndarray]
"""The boxes of a class, and its mask (H,W)."""


@dataclass(frozen=True)
class Subject:
    """A picture, and of each class that is explained the boxes, right and bottom inclusive, and the mask (H,W).

    The picture is opened for a network's preparation; boxes and masks are over its (width, height).
    """

    name: str
    open: Callable[[mmcam.Preprocess], Image.Image]
    size: tuple[int, int]
    truth: Mapping[str | int, Truth]


def settings_of(name: str) -> dict[str, dict[str, Any]]:
    """The options of every row of a network."""
    return {**OPTIONS, **{at(layer): {"layer": layer} for layer in LAYERS[name]}}


def at(layer: str) -> str:
    """The row of a layer."""
    return f"at {layer}"


def examine(
    net: Network, pictures: Callable[[], Iterator[Subject]], work: Path, limit: int | None
) -> list[dict[str, Any]]:
    """A network's records, a line a picture; those that are missing are added."""
    path = work / f"{net.name}-{checksum(net.model)}.jsonl".replace(" ", "-")
    settings = settings_of(net.name)
    done = {record["picture"]: record for record in read(path) if record["settings"] == settings}
    records = []
    for subject in track(pictures(), net.name, total=limit):
        if subject.name not in done:
            maps = {name: list(judged(subject, explained(net, subject, options))) for name, options in settings.items()}
            done[subject.name] = {"picture": subject.name, "settings": settings, "maps": maps}
            add(path, [done[subject.name]])
        records.append(done[subject.name])
    return records


def explained(net: Network, subject: Subject, options: Mapping[str, Any]) -> list[mmcam.Explanation]:
    """The map of each class of a picture."""
    labels = list(subject.truth)
    picture = subject.open(net.preprocess)
    maps = mmcam.explain_class(net.model, picture, labels, preprocess=net.preprocess, **options)
    return [spread(exp, net.preprocess, subject.size) for exp in maps]


def judged(subject: Subject, exps: Sequence[mmcam.Explanation]) -> Iterator[tuple[bool, bool]]:
    """Whether each map's box localises a thing of its class, and whether its maximum lies on one."""
    for (boxes, mask), exp in zip(subject.truth.values(), exps, strict=True):
        found = replace(exp, values=exp.values - exp.values.min().clamp(max=0)).box()
        box = None if found is None else inclusive(found)
        yield localised(Located([(box, "it")], {"it": boxes})), inside(exp.peak(), mask)


def figures(name: str, records: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Both errors of every row, and how much the first differs from that of the whole method, in percent."""
    pictures = [record["picture"] for record in records for _ in record["maps"][WHOLE]]
    hits = {
        row: np.array([each for record in records for each in record["maps"][row]], dtype=float)
        for row in settings_of(name)
    }
    for row, values in hits.items():
        published = PUBLISHED.get(row)
        yield {
            "name": row,
            "localisation error": mean(100 * (1 - values[:, 0]), pictures),
            # The same pictures and classes, so the difference to the whole method is far better known than either.
            "difference": mean(100 * (hits[WHOLE][:, 0] - values[:, 0]), pictures),
            "pointing error": mean(100 * (1 - values[:, 1]), pictures),
            "published localisation error": published,
            "published difference": None if published is None else published - PUBLISHED[WHOLE],
        }
