"""Classified pictures: is the class right, and where do the maps of the true and of the predicted class lie?

A model that divides one probability among its classes (softmax) is wrong where its surest class is none of the
picture's. One that asks of each class whether it is there (sigmoid) is wrong where it holds a class that is there for
absent; beside it stands the surest class that nobody says is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import mmcam
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures.case import Told, case_of
from mmcam.diagnosis.labelled import LabelledPicture, region
from mmcam.diagnosis.meant import Meanings
from mmcam.diagnosis.records import Record
from mmcam.errors import PictureError

Chunk = Sequence[LabelledPicture]


def judge(explainer: Explainer, means: Meanings, chunk: Chunk) -> list[list[Record]]:
    """Of each picture its record; one that cannot be used has "skipped", the sentence that says why."""
    targets = [sorted({index for label in picture.labels for index in means[label]}) for picture in chunk]
    asked = {"names": explainer.names, "errors": "skip", **explainer.how}
    of_truth = mmcam.explain_class(explainer.model, [picture.path for picture in chunk], targets, **asked)
    wrong: dict[int, int] = {}
    truth: dict[int, mmcam.Explanation] = {}
    for n, found in enumerate(of_truth):
        if isinstance(found, Exception):
            continue
        truth[n], said = _verdict(found, targets[n], [means[label] for label in chunk[n].labels])
        if said is not None:
            wrong[n] = said
    of_said = {}
    if wrong:
        pictures = [chunk[n].path for n in wrong]
        of_said = dict(
            zip(wrong, mmcam.explain_class(explainer.model, pictures, list(wrong.values()), **asked), strict=True)
        )
    records = []
    for n, picture in enumerate(chunk):
        try:
            if n not in truth:
                raise of_truth[n]
            own, other = truth[n], of_said.get(n, truth[n])
            where = region(picture, _label(picture, means, own), own.image.size)
            records.append(
                [case_of(picture.path, _told(own), _told(other), n not in wrong, where, units=explainer.units)]
            )
        except PictureError as error:
            records.append([{"picture": str(picture.path), "skipped": str(error)}])
    return records


def _verdict(
    found: Sequence[mmcam.Explanation], asked: Sequence[int], labels: Sequence[tuple[int, ...]]
) -> tuple[mmcam.Explanation, int | None]:
    """The explanation of the truth, and the class that was said instead; None where the model is right.

    Args:
        found: of each class that is asked.
        asked: every class that a label means.
        labels: of each label, the classes that it means.
    """
    best = {
        label: max((exp for exp, i in zip(found, asked, strict=True) if i in label), key=_score) for label in labels
    }
    prediction = found[0].prediction
    assert prediction is not None
    surest = max(best.values(), key=_score)
    absent = next((one.index for one in prediction.best if one.index not in asked), None)
    if prediction.activation == "sigmoid":
        missed = min(best.values(), key=_score)
        probability = missed.prediction.probability if missed.prediction else None
        if probability is None or probability >= 0.5 or absent is None:
            return surest, None
        return missed, absent
    return surest, None if prediction.best[0].index in asked else prediction.best[0].index


def _score(exp: mmcam.Explanation) -> float:
    return exp.score


def _told(exp: mmcam.Explanation) -> Told:
    return Told(exp.target, exp.prediction.probability if exp.prediction else None, exp)


def _label(picture: LabelledPicture, means: Meanings, exp: mmcam.Explanation) -> str:
    """The label that an explained class belongs to."""
    index = exp.prediction.index if exp.prediction else None
    return next(label for label in picture.labels if index in means[label])
