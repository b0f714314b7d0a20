"""Two models and pictures: of those that both get right, whose maps lie on the thing, and whose matter to the score?

* **on the thing**: whether the maximum of the class's map lies on it, and the share of the map that does; where masks
  or boxes show it.
* **matters**: how much sooner the probability of the class comes when pixels appear in the order of the map than it
  goes when they vanish (insertion less deletion, RISE, arXiv 1806.07421); 0 for a map that says nothing.
* **rater**: see `mmcam.diagnosis.choice.rater`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.choice.rater import RATERS, raters, rating
from mmcam.diagnosis.labelled import LabelledPicture, region
from mmcam.diagnosis.meant import Meanings, meant
from mmcam.diagnosis.pairs import small
from mmcam.diagnosis.records import Record, checksum, one_by_one
from mmcam.drawing.strip import draw_strip
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.evaluation.deletion import deletion, insertion
from mmcam.evaluation.pointing import inside
from mmcam.evaluation.relevance import mass
from mmcam.evaluation.uncertainty import Interval, Mean, bootstrap, mean
from mmcam.preparation import batch_of
from mmcam.report.maps import drawn
from mmcam.tasks.classification import class_scores

STEPS: Final = 8
"""Of insertion and deletion."""
DRAWN: Final = 6
"""Pictures of the figure."""
FIGURES: Final = {
    "points": "maximum on the thing",
    "mass": "share of the map on it",
    "matters": "insertion less deletion",
}
"""What is measured of each map, and how it is told; more is better."""


@dataclass(frozen=True)
class Candidate:
    """One of two models.

    Attributes:
        name: how it is told.
        model: a classifier; left as found.
        preprocess: as in `mmcam.explain_class`.
        names: of its classes, where it does not say.
        options: of each method, where it needs some.
    """

    name: str
    model: Any
    preprocess: Any = None
    names: Any = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """A method's maps of two models, over the pictures that both get right.

    Attributes:
        method: its name.
        of: by the names of `FIGURES`, the mean of either model.
        lead: by the same names, the first model's less the second's, with its interval over pictures.
        rating: mean answer of the raters, −2 to 2, above 0 for the first model, with its interval; None where nothing
            says where things are.
        preferred: in how many pictures the mean answer is for the first model, for none, and for the second.
    """

    method: str
    of: dict[str, tuple[Mean, Mean]]
    lead: dict[str, Interval]
    rating: Interval | None
    preferred: tuple[int, int, int] | None


def choose(
    candidates: tuple[Candidate, Candidate],
    source: str | os.PathLike[str],
    pictures: Sequence[LabelledPicture],
    out: str | os.PathLike[str],
    *,
    methods: Sequence[str] = ("gradcam",),
    tell: Callable[[str], object] = lambda text: None,
) -> list[Record]:
    """Compare two models on pictures; what is done is kept in OUT.part.

    A run that was stopped goes on there; who has written the results removes it.

    Args:
        candidates: the models.
        source: where the pictures are from.
        pictures: with what is on them; of one with several labels, the first that both models find is explained.
        out: of the results, without an ending.
        methods: of the maps.
        tell: is told what a run that was stopped had done.

    Returns:
        A record a picture: right (of either model), label, of each method the `FIGURES` of either model's map, and what
        a page shows; or "skipped", the sentence that says why.

    Raises:
        ExplainError: labels that are none of a model's classes; no picture that can be used, or that both get right;
            work of another kind in OUT.part.
    """
    part = Path(f"{out}.part")
    of = {
        "source": str(source),
        "models": [[one.name, checksum(unwrap(one.model)), str(one.preprocess)] for one in candidates],
        "methods": list(methods),
    }
    labels = sorted({label for picture in pictures for label in picture.labels})
    means: list[Meanings | None] = [None, None]

    def record_of(picture: LabelledPicture) -> Record:
        return _judged(candidates, picture, labels, means, methods)

    records = one_by_one(part, of, pictures, record_of, "Comparing", tell)
    if not any(all(record.get("right", [False])) for record in records):
        why = next((record["skipped"] for record in records if "skipped" in record), "")
        raise ExplainError(
            f"Both models get none of the {len(records)} pictures right, so nothing can be compared. {why}".strip()
        )
    return records


def compared(records: Sequence[Record], method: str, seed: int = 0) -> Compared:
    """A method's maps over the pictures that both models get right."""
    both = [record["methods"][method] for record in records if all(record.get("right", [False]))]
    of, lead = {}, {}
    for name in FIGURES:
        pairs = [(one[name][0], one[name][1]) for one in both if None not in one[name]]
        of[name] = (mean([float(a) for a, _ in pairs]), mean([float(b) for _, b in pairs]))
        if pairs:
            lead[name] = _interval([float(a) - float(b) for a, b in pairs], seed)
    located = [one["mass"] for one in both if None not in one["mass"]]
    if not located:
        return Compared(method, of, lead, None, None)
    by = raters(RATERS, seed)
    answers = [rating(first, second, by) for first, second in located]
    preferred = (sum(a > 0 for a in answers), sum(a == 0 for a in answers), sum(a < 0 for a in answers))
    return Compared(method, of, lead, _interval(answers, seed), preferred)


def accuracy(records: Sequence[Record], which: int) -> Mean:
    """How often a model is right, over all pictures."""
    return mean([record["right"][which] for record in records if "right" in record])


def verdict(lead: Interval, names: tuple[str, str]) -> str:
    """Which model leads by an interval; neither, where it reaches over 0."""
    if lead.low > 0:
        return names[0]
    return names[1] if lead.high < 0 else "neither"


def figure(
    candidates: tuple[Candidate, Candidate], pictures: Sequence[LabelledPicture], records: Sequence[Record], method: str
) -> Image.Image:
    """The pictures on which the maps of both models differ most: each with both, and what the raters say."""
    by, both = raters(), [record for record in records if all(record.get("right", [False]))]

    def differ(record: Record) -> float:
        first, second = record["methods"][method]["mass"]
        return 0.0 if first is None else abs(float(first) - float(second))

    paths = {str(picture.path): picture for picture in pictures}
    panels, notes = [], []
    for record in sorted(both, key=differ, reverse=True)[:DRAWN]:
        image = mmcam.load_image(paths[record["picture"]].path)
        first, second = record["methods"][method]["mass"]
        panels.append((image, str(record["told"])))
        notes.append("" if first is None else f"rating {rating(first, second, by):+.1f}".replace("-", "−"))
        for place, one in enumerate(candidates):
            exp = _explained(one, image, record["classes"][place], method)
            panels.append((exp.overlay(), one.name))
            share = (first, second)[place]
            notes.append("" if share is None else f"{100 * share:.0f} % on it")
    return draw_strip(panels, notes, columns=6, side=240)


def _judged(
    candidates: tuple[Candidate, Candidate],
    picture: LabelledPicture,
    labels: Sequence[str],
    means: list[Meanings | None],
    methods: Sequence[str],
) -> Record:
    """The record of a picture."""
    image = mmcam.load_image(picture.path)
    found = []
    for place, one in enumerate(candidates):
        logits, several = _logits(one, image)
        if (known := means[place]) is None:
            known = means[place] = meant(labels, classes_of(unwrap(one.model), one.names), len(logits))
        best = {label: max(known[label], key=lambda index: float(logits[index])) for label in picture.labels}
        top = int(logits.argmax())
        found.append({label: i for label, i in best.items() if (float(logits[i]) > 0 if several else i == top)})
    record: Record = {"picture": str(picture.path), "right": [bool(one) for one in found]}
    label = next((label for label in picture.labels if all(label in one for one in found)), None)
    if label is None:
        if all(record["right"]):  # of several labels either finds another
            record["right"] = [False, False]
        return record
    where = region(picture, label, image.size)
    where = where if where is not None and where.any() else None
    record |= {"label": label, "classes": [one[label] for one in found], "methods": {}}
    for method in methods:
        figures: dict[str, list[Any]] = {name: [] for name in FIGURES}
        maps: list[mmcam.Explanation] = []
        for place, one in enumerate(candidates):
            exp = _explained(one, image, record["classes"][place], method)
            maps.append(exp)
            figures["points"].append(None if where is None else inside(exp.peak(), where))
            figures["mass"].append(None if where is None else mass(exp.heatmap, where))
            figures["matters"].append(_matters(one, image, record["classes"][place], exp))
        record["methods"][method] = figures
        if "card" not in record:
            uri, shown = small(maps[0].image)
            record |= {"told": maps[0].target, "card": {"image": uri, "size": list(shown)}}
            record["card"]["maps"] = [drawn(exp, shown) for exp in maps]
    return record


def _explained(one: Candidate, image: Image.Image, index: int, method: str) -> mmcam.Explanation:
    options = one.options.get(method, {})
    return mmcam.explain_class(
        one.model, image, index, names=one.names, method=method, preprocess=one.preprocess, **options
    )


def _logits(one: Candidate, image: Image.Image) -> tuple[Tensor, bool]:
    """The logits of a picture, and whether each class is asked for by itself."""
    module = unwrap(one.model)
    classes = classes_of(module, one.names)
    batch = batch_of(module, [image], one.preprocess)
    return class_scores(module, batch.x, classes)[0].float(), classes.probabilities == "sigmoid"


def _matters(one: Candidate, image: Image.Image, index: int, exp: mmcam.Explanation) -> float:
    """Insertion less deletion of the class's probability, over the model's input."""
    module = unwrap(one.model)
    classes = classes_of(module, one.names)
    x = batch_of(module, [image], one.preprocess).x[0]

    def score(rows: Tensor) -> Tensor:
        logits = class_scores(module, rows, classes)
        return (logits.sigmoid() if classes.probabilities == "sigmoid" else logits.softmax(1))[:, index]

    cam = exp.cam.float()
    large = F.interpolate(cam[None, None], x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    with torch.no_grad():
        curves = [each(score, x, large, steps=STEPS) for each in (insertion, deletion)]
    return curves[0].area - curves[1].area


def _interval(values: Sequence[float], seed: int) -> Interval:
    return bootstrap(list(values), lambda some: float(np.mean(some)), seed=seed)
