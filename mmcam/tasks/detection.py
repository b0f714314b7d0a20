"""Detection: which part of a picture made a detector give a box its class, or kept it from doing so.

A detector answers with many candidates, of which thresholds and the suppression of neighbours leave a few. The score is
the class's logit of one candidate, taken before either: of the box that is asked about, or of the most confident one.
So that nothing was found somewhere can be asked about, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation, Forward
from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError
from mmcam.image import Batch, Geometry
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.names import as_many, class_index, class_name, short
from mmcam.tasks.region import Candidate, Region
from mmcam.tasks.targets import single


@dataclass(frozen=True)
class Found:
    """All candidates of a detector for N pictures, before thresholds.

    Attributes:
        boxes: (N,Q,4), or (N,Q,C,4) where each class has a box of its own: left, top, right, bottom in the input.
        probabilities: (N,Q,C), by the detector's own count; 0 for a class that means nothing is there.
        proposals: of each picture the places (Q,4) that were scored, of a detector that scores what it proposed itself.
    """

    boxes: Tensor
    probabilities: Tensor
    proposals: Sequence[Tensor] = ()


class Detector(Protocol):
    """What a network that detects is to this task (see `mmcam.adapters.detectors`)."""

    @property
    def model(self) -> nn.Module:
        """The module that is run."""

    @property
    def names(self) -> Sequence[str] | None:
        """Of its classes, or None."""

    @property
    def nothing(self) -> int | None:
        """The index of the class that means nothing is there; None where there is none among them."""

    @property
    def trunk(self) -> str | None:
        """The part that all candidates are computed from, by its dotted name; None where nothing says."""

    def find(self, x: Tensor, sizes: Sequence[tuple[int, int]]) -> Found:
        """All candidates for pictures x (N,C,H,W), which lie in the first (height, width) pixels of the input."""

    def ask(
        self, found: Found, sizes: Sequence[tuple[int, int]], chosen: Sequence[Sequence[Chosen]]
    ) -> tuple[Forward, list[Target]]:
        """How the detector is run, and for each of T targets the function from the output to logits (N,C).

        Args:
            found, sizes: of `find`.
            chosen: T rows of one candidate a picture.
        """


@dataclass(frozen=True)
class Chosen:
    """A candidate of a picture.

    Attributes:
        index: among all.
        box: its own, (4,), in the input.
    """

    index: int
    box: Tensor


@dataclass(frozen=True)
class Wanted:
    """What is asked of one picture.

    Attributes:
        box: in pixels of the picture; None for the most confident candidate.
        target: a class by index or name; None for the candidate's best.
    """

    box: Region | None
    target: int | str | None


@dataclass(frozen=True)
class _Told:
    """One target of one picture, settled."""

    region: Region
    asked: bool
    candidate: Candidate
    index: int


def ask(
    detector: Detector, batch: Batch, wanted: Sequence[Sequence[Wanted]], listed: Sequence[bool], contrast: Any,
    threshold: float,
) -> Asked:  # fmt: skip
    """Which part of each picture spoke for a class at a box.

    Args:
        detector: the network.
        batch: the pictures.
        wanted: of each, one or several.
        listed: whether a list was asked of a picture.
        contrast: another class, by index or name, or None.
        threshold: the probability from which a candidate is said to be found.

    Raises:
        ExplainError: unknown class; a box that no candidate overlaps; a contrast that is the target.
    """
    names = detector.names

    def index(given: Any, what: str) -> Any:
        asked = single(given, what, function=False)
        return class_index(asked, names) if isinstance(asked, str) else asked

    other = index(contrast, "contrast")
    sizes = [_size_in_input(geometry) for geometry in batch.geometries]
    with as_found(detector.model), torch.no_grad():
        found = detector.find(batch.x, sizes)
    count = found.probabilities.shape[2]
    if names is not None:
        as_many(names, count, "class")
    columns = [[row[min(t, len(row) - 1)] for row in wanted] for t in range(max(map(len, wanted)))]
    told: list[list[_Told]] = []
    chosen: list[list[Chosen]] = []
    for column in columns:
        told.append([])
        chosen.append([])
        for n, one in enumerate(column):
            own = index(one.target, "class")
            for given in (own, other):
                _check_class(given, count, detector.nothing)
            settled, box = _settled(found, n, one.box, own, batch.geometries[n], names)
            if settled.index == other:
                raise both_are("class", class_name(settled.index, names))
            told[-1].append(settled)
            chosen[-1].append(Chosen(settled.candidate.index, box))
    forward, logits_of = detector.ask(found, sizes, chosen)

    def score(read: Target, row: Sequence[_Told]) -> Target:
        def of(output: Any) -> Tensor:
            logits = read(output)
            own = logits.gather(1, torch.tensor([one.index for one in row], device=logits.device)[:, None])[:, 0]
            return own if other is None else own - logits[:, other]

        return of

    def label(t: int, n: int, score: float) -> Label:
        return _label(told[t][n], None if other is None else class_name(other, names), names, threshold)

    targets = [score(read, row) for read, row in zip(logits_of, told, strict=True)]
    computation = Computation(detector.model, forward, batch.x, targets)
    return Asked(batch, computation, label, [range(len(row)) for row in wanted], listed)


def _label(one: _Told, other: str | None, names: Sequence[str] | None, threshold: float) -> Label:
    name, candidate = class_name(one.index, names), one.candidate
    where = f"{one.region}, candidate {candidate.index} with "
    where += f"IoU {candidate.overlap:.2f} and " if one.asked else ""
    where += f"probability {candidate.probability:.2g}"
    found = candidate.probability >= threshold
    claim = f"It finds {'' if found else 'no '}{quoted(name, other)} at the {one.region}"
    return Label(
        titled(name, other), claim, where, scored="logit", sense=1 if found else -1, region=one.region,
        candidate=candidate,
    )  # fmt: skip


def _settled(
    found: Found, n: int, box: Region | None, own: int | None, geometry: Geometry, names: Sequence[str] | None
) -> tuple[_Told, Tensor]:
    """The candidate of picture n that is meant, and its box in the input."""
    probabilities = found.probabilities[n].float()
    best = probabilities.max(1)
    classes = best.indices if own is None else torch.full_like(best.indices, own)
    boxes = found.boxes[n].float()
    if boxes.ndim == 3:  # of each class its own
        boxes = boxes[torch.arange(len(boxes), device=boxes.device), classes]
    height, width = geometry.original
    whole = boxes.new_tensor([0.0, 0.0, width, height])
    theirs = to_original(boxes, geometry).clamp(min=0).minimum(whole[2:].repeat(2))  # what is found is cut, too
    if box is None:
        inside = iou(theirs, whole) > 0
        if not inside.any():
            raise ExplainError("No candidate of the detector lies in the picture, so there is none to explain.")
        values = (probabilities.gather(1, classes[:, None])[:, 0]).masked_fill(~inside, -1)
        query, overlap = int(values.argmax()), 1.0
    else:
        box.within(width, height)
        overlaps = iou(theirs, theirs.new_tensor(box.at))
        query = int(overlaps.argmax())
        overlap = float(overlaps[query])
        if overlap <= 0:
            what = "" if own is None else f" for {class_name(own, names)!r}"
            raise ExplainError(
                f"None of the detector's {len(theirs)} candidates{what} overlaps the {box}, so it has no score there; "
                "ask about another box, or leave box= out for the most confident one."
            )
    index = int(classes[query])
    corners = theirs[query].tolist()
    candidate = Candidate(
        query, (corners[0], corners[1], corners[2], corners[3]), overlap, float(probabilities[query, index])
    )
    return _Told(box or Region("box", tuple(corners)), box is not None, candidate, index), boxes[query]


def _check_class(wanted: int | None, count: int, nothing: int | None) -> None:
    if wanted is not None and (not 0 <= wanted < count or wanted == nothing):
        rest = "" if nothing is None else f", of which {nothing} means that nothing is there"
        raise ExplainError(f"There is no class {short(wanted)}: the model has classes 0…{count - 1}{rest}.")


def _size_in_input(geometry: Geometry) -> tuple[int, int]:
    """(height, width) of the picture in the input, which begins at its corner."""
    height, width = (round(side * scale) for side, scale in zip(geometry.original, geometry.scale, strict=True))
    return min(height, geometry.input[0]), min(width, geometry.input[1])


def to_original(boxes: Tensor, geometry: Geometry) -> Tensor:
    """Boxes (Q,4) in the input as boxes in pixels of the original picture."""
    (down, across), (top, left) = geometry.scale, geometry.offset
    scale, offset = (boxes.new_tensor(each) for each in ((across, down) * 2, (left, top) * 2))
    return (boxes - offset) / scale


def iou(boxes: Tensor, box: Tensor) -> Tensor:
    """The intersection over union (Q,) of boxes (Q,4) with one (4,)."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) + (box[2:] - box[:2]).prod() - common
    return common / areas.clamp(min=1e-12)
