"""A job as plain values, and its work a part at a time: the same wherever and in whatever order parts are made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.explain.chunks import INPUT, MOST
from mmcam.image import Batch, Preprocess
from mmcam.jobs import manifest
from mmcam.jobs.decode import Decoder
from mmcam.jobs.items import Item
from mmcam.jobs.measures import against_truth, answered, faithful, meanings
from mmcam.jobs.rows import METRICS, Row, rows_of
from mmcam.jobs.sources import Source
from mmcam.jobs.wanted import Found, Wanted, explained, failures, labels_of
from mmcam.methods import registry
from mmcam.models.specification import load_model
from mmcam.preparation import pictures_preparation
from mmcam.version import __version__

SHARD = 256
"""Pictures of a part: what is lost at most when a process is killed."""


@dataclass(frozen=True)
class Plan:
    """Everything that the results of a job hang on, but the pictures; it can be sent to another machine.

    Attributes:
        wanted: what is asked.
        model: its specification, as `mmcam.models.specification.load_model` takes it.
        weights: a file of weights for it.
        device: on which it is run.
        batch: pictures at a time; None for as many as memory is set aside for.
        shard: pictures of a part.
        keep_weights: whether the units' weights α are kept, too.
    """

    wanted: Wanted
    model: str
    weights: Path | None = None
    device: str = "cpu"
    batch: int | None = None
    shard: int = SHARD
    keep_weights: bool = False

    def __post_init__(self) -> None:
        """Raise ExplainError for sizes that are none, or a method or option that there is not."""
        for name, value in (("--batch", self.batch), ("--shard", self.shard)):
            if value is not None and value < 1:
                raise ExplainError(f"{name} is a number of pictures, and {value} is none.")
        for method, options in self.wanted.methods.items():
            registry.get(method).check(dict(options))


@dataclass
class Worker:
    """A plan with its model, on one device.

    Attributes:
        plan: what is to be done.
        model: loaded.
        preprocess, assumed: how its pictures are made (see `mmcam.preparation.pictures_preparation`).
        root: what the pictures' paths begin at.
        lenient: whether labels of the truth that the model does not know are passed over.
        labels: of the truth of all pictures.
        passed_over: those of them that the model does not know, once the first picture was seen.
        begun: whether some of the job is done, so that what is asked of it can be answered.
    """

    plan: Plan
    model: Any
    preprocess: Preprocess
    assumed: bool
    root: str
    lenient: bool
    labels: Sequence[str]
    passed_over: Sequence[str] = ()
    begun: bool = False
    _meant: Mapping[str, tuple[int, ...]] | None = field(default=None, repr=False)

    @classmethod
    def load(cls, plan: Plan, source: Source) -> Worker:
        """Load the model.

        Raises:
            ExplainError: there is no such model.
        """
        return cls.begin(plan, source.root, source.spec.startswith("coco:"), labels_of(source.items))

    @classmethod
    def begin(cls, plan: Plan, root: str, lenient: bool, labels: Sequence[str]) -> Worker:
        """The same where the source is not at hand."""
        model, preprocess = load_model(plan.model, plan.weights, plan.device)
        made, assumed = pictures_preparation(unwrap(model), preprocess)
        return cls(plan, model, made, assumed, root, lenient, labels)

    @property
    def decoder(self) -> Decoder:
        """What opens the pictures."""
        return Decoder(self.root, self.preprocess, self.assumed)

    @cached_property
    def weights(self) -> str:
        """A hash of the model's weights."""
        return manifest.weights_of(unwrap(self.model))

    @property
    def batch(self) -> int:
        """Pictures at a time: by the size of the model's inputs, where nothing is said."""
        height, width = self.preprocess.size
        return self.plan.batch or max(1, min(MOST, INPUT // (len(self.preprocess.mean) * height * width)))

    def of(self, source: Source) -> dict[str, Any]:
        """What the results hang on, for the manifest."""
        plan, wanted = self.plan, self.plan.wanted
        names = None if wanted.names is None else hashlib.sha256(repr(wanted.names).encode()).hexdigest()[:16]
        return {
            "task": wanted.task,
            "version": __version__,
            "model": {
                "name": plan.model,
                "class": type(unwrap(self.model)).__name__,
                "weights": self.weights,
            },
            "pictures": {"items": len(source.items), "digest": source.digest},
            "methods": wanted.methods,
            "targets": wanted.targets,
            "questions": wanted.questions,
            "top": wanted.top,
            "true": wanted.true,
            "names": names,
            "how": wanted.how,
            "preparation": self.preprocess.told,
            "batch": self.batch,
            "shard": plan.shard,
            "keep_weights": plan.keep_weights,
        }

    def batches(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """The pictures of a part that are computed together."""
        return (items[start : start + self.batch] for start in range(0, len(items), self.batch))

    def explain(self, items: Sequence[Item], pictures: Sequence[Batch | Exception]) -> tuple[list[Row], list[Row]]:
        """The rows and the errors of a batch."""
        found, rows, errors = self._found(items, pictures), list[Row](), list[Row]()
        self._check(found)
        for one in found:
            item = items[one.item]
            head = {"id": item.id, "picture": item.picture, "asked": one.asked}
            if isinstance(one.result, Exception):
                errors.append({**head, "method": one.method, "error": str(one.result)})
                continue
            for row, exp in rows_of(one.result, self.plan.keep_weights):
                figures: dict[str, float | None] = {}
                try:
                    figures = self._figures(exp, row["kind"], item, pictures[one.item])
                except PictureError as error:
                    errors.append({**head, "method": one.method, "error": str(error)})
                rows.append({**head, **row, **{name: figures.get(name) for name in METRICS}})
        return rows, errors

    def _found(self, items: Sequence[Item], pictures: Sequence[Batch | Exception]) -> list[Found]:
        """What came of a batch, as explanations."""
        wanted, first = self.plan.wanted, next((one for one in pictures if isinstance(one, Batch)), None)
        if self._meant is None and first is not None and self.labels and wanted.task in ("class", "metrics"):
            self._meant, strange = meanings(self.model, wanted.names, self.labels, first, self.lenient)
            self.passed_over = strange
        return explained(self.model, wanted, items, pictures, self._meant or {})

    def _check(self, found: Sequence[Found]) -> None:
        """Raise ExplainError where what is asked is wrong of all pictures of a new job's first batch, and so of all."""
        wanted = self.plan.wanted
        if self.begun or wanted.true or (wanted.task == "caption" and wanted.targets):
            return  # a word may well be in none of the first captions, and nothing be known of the first pictures
        wrong = list(failures(found))
        if wrong and all(isinstance(one.result, Exception) for one in found):
            raise wrong[0]
        self.begun = True

    def _figures(self, exp: Any, kind: str, item: Item, picture: Any) -> dict[str, float | None]:
        task = self.plan.wanted.task
        if task == "answer" and kind in ("target", "answer"):
            return answered(exp, item)
        if task not in ("class", "metrics"):
            return {}
        figures = against_truth(exp, item, self.root, self._meant or {})
        return figures | (faithful(self.model, self.plan.wanted.names, exp, picture) if task == "metrics" else {})
