"""Build a study: choose pictures, visualise them by every method, and write design, key and stimuli."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any, Final

from PIL import Image

from mmcam.errors import ExplainError
from mmcam.files import json_text
from mmcam.image import load_image
from mmcam.methods import METHODS
from mmcam.methods.registry import get
from mmcam.report.spotlight import thumbnail
from mmcam.studies import texts
from mmcam.studies.candidates import Candidate, Tally, candidates, chosen
from mmcam.studies.design import STIMULI, TRAINING, Design, Rules, Trial, write_key
from mmcam.studies.kinds import KINDS, Kind
from mmcam.studies.pictures import labels_of, pictures_of
from mmcam.studies.subjects import SIDE, Subject, subject
from mmcam.version import __version__

CHECKS: Final = 3
"""Attention checks of each rater."""
QUALITY: Final = 92
"""Of the stimuli, WebP's."""
SECONDS: Final = 9
"""An item may take."""


@dataclass(frozen=True)
class Order:
    """What is to be built.

    Attributes:
        kind: of study.
        models: (name, model, preprocess) of one or two.
        source: of the pictures.
        methods: that are compared.
        items: how many.
        per_rater: how many of them each rater answers; None for all.
        training: pictures more, from which simulated raters learn.
        consent: paragraphs; () for the usual ones.
        contact: whom raters may ask; "" for nobody.
        seed: of what is chosen at random.
        command: that asked for it.
    """

    kind: str
    models: Sequence[tuple[str, Any, Any]]
    source: str
    methods: Sequence[str]
    items: int = 40
    per_rater: int | None = None
    training: int = 0
    consent: Sequence[str] = ()
    contact: str = ""
    seed: int = 0
    command: str = ""


def build(order: Order, out: Path, tell: Callable[[str], object] = lambda text: None) -> Design:
    """Build a study into a new folder, which appears when everything is in it.

    Args:
        order: what is to be built.
        out: a folder that is not there yet.
        tell: is told what is done.

    Raises:
        ExplainError: no such kind or method, not as many models as the kind takes, or too few pictures that fit.
        FileExistsError: there is something at `out`.
    """
    kind = _checked(order)
    if os.path.lexists(out):
        raise FileExistsError(f"{out} is there already; name another place, or remove it first.")
    partly = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        design = _build(order, kind, partly, tell)
        shutil.rmtree(partly / "pictures", ignore_errors=True)
        partly.rename(out)
    except BaseException:
        shutil.rmtree(partly, ignore_errors=True)
        raise
    return design


def _checked(order: Order) -> Kind:
    if order.kind not in KINDS:
        raise ExplainError(f"There is no kind of study {order.kind!r}; there are {', '.join(KINDS)}.")
    kind = KINDS[order.kind]
    if len(order.models) != kind.models:
        count = {1: "one model", 2: "two models"}[kind.models]
        raise ExplainError(f"A study of {kind.name} is about {count}, and {len(order.models)} are given.")
    if not order.methods or len(set(order.methods)) < len(order.methods):
        raise ExplainError("Name at least one method, and none twice.")
    for method in order.methods:
        get(method)
    if order.items < 2 or not 1 <= (order.per_rater or order.items) <= order.items:
        raise ExplainError("A study has at least two items, and a rater answers one to all of them.")
    return kind


def _build(order: Order, kind: Kind, folder: Path, tell: Callable[[str], object]) -> Design:
    rng = random.Random(order.seed)
    source = pictures_of(order.source, folder / "pictures", kind.name == "discrimination")
    first = next(source, None)
    if first is None:
        raise ExplainError(f"No picture of {order.source} fits a study of {kind.name}.")
    labels = labels_of(order.source)
    subjects = [subject(name, model, how, labels, first.path) for name, model, how in order.models]
    tally = Tally([0.0] * len(subjects))
    tell("Choosing pictures …")
    found = candidates(kind.name, chain([first], source), subjects, tally, rng)
    items, more = chosen(found, order.items, 1 + order.training, kind.name)
    rng.shuffle(items)
    if tally.right != sorted(tally.right, reverse=True):  # a positive rating is for the more accurate model
        subjects = subjects[::-1]
        tally.right.reverse()
        items, more = [_turned(one) for one in items], [_turned(one) for one in more]
    trials: list[Trial] = []
    for method in order.methods:
        tell(f"Visualising by {method} …")
        trials += _trials(kind, items, method, subjects, folder)
    practice = replace(
        _trials(kind, more[:1], order.methods[0], subjects, folder)[0], role="practice", item=-1, method=""
    )
    trials.append(replace(practice, feedback=texts.feedback(kind, practice)))
    trials += [_check(practice, number) for number in range(CHECKS)]
    trials.sort(key=lambda trial: trial.token)
    write_key(folder, trials)
    if order.training:
        tell("Visualising what simulated raters learn from …")
        _training(more[1:], order.methods, subjects, folder)
    per_rater = order.per_rater or order.items
    minutes = ceil((per_rater * SECONDS + 90) / 60)
    design = Design(
        id=secrets.token_hex(8),
        kind=kind.name,
        title=kind.title,
        question=kind.question,
        consent=tuple(order.consent) or texts.consent(minutes, order.contact),
        instructions=texts.instructions(kind, [METHODS[method] for method in order.methods]),
        methods=tuple(order.methods),
        models=tuple(one.name for one in subjects),
        accuracy=tally.accuracy,
        items=order.items,
        per_rater=per_rater,
        checks=CHECKS,
        seed=order.seed,
        minutes=minutes,
        completion_code=secrets.token_hex(4).upper(),
        rules=Rules(),
        source=order.source,
        command=order.command,
        version=__version__,
    )
    design.write(folder)
    return design


def _turned(one: Candidate) -> Candidate:
    """The same of two models in the other order."""
    return replace(
        one,
        targets=tuple((1 - model, index) for model, index in reversed(one.targets)),
        training=tuple((1 - model, index, label) for model, index, label in one.training),
    )


def _trials(
    kind: Kind, items: Sequence[Candidate], method: str, subjects: Sequence[Subject], folder: Path
) -> list[Trial]:
    """The items as one method shows them."""
    images: list[list[str]] = [[] for _ in items]
    for place in range(len(items[0].targets)):
        model = items[0].targets[place][0]
        drawn = subjects[model].stimuli(
            [one.picture for one in items], [one.targets[place][1] for one in items], method
        )
        for own, image in zip(images, drawn, strict=True):
            own.append(_keep(image, folder / STIMULI))
    found = []
    for number, one in enumerate(items):
        picture = "" if kind.name == "discrimination" else _keep(_original(one.picture), folder / STIMULI)
        label = one.label if kind.name == "trust" else ""
        about = {"picture": one.picture.name, "label": one.label, "targets": [list(each) for each in one.targets]}
        choices = one.choices or kind.answers
        token = secrets.token_hex(8)
        found.append(
            Trial(token, "item", tuple(images[number]), picture, label, choices, one.truth, number, method, about=about)
        )
    return found


def _check(practice: Trial, number: int) -> Trial:
    """An item that says what is to be answered."""
    wanted = (number * 2 + 1) % len(practice.choices)
    return replace(
        practice,
        token=secrets.token_hex(8),
        role="check",
        truth=wanted,
        notice=texts.NOTICE.format(choice=practice.choices[wanted]),
        feedback="",
    )


def _training(pictures: Sequence[Candidate], methods: Sequence[str], subjects: Sequence[Subject], folder: Path) -> None:
    """Visualisations of what is there, with what it is; never served."""
    lines = []
    for method in methods:
        for model, one in enumerate(subjects):
            asked = [
                (each.picture, index, label)
                for each in pictures
                for which, index, label in each.training
                if which == model
            ]
            drawn = one.stimuli([path for path, _, _ in asked], [index for _, index, _ in asked], method)
            for (_, _, label), image in zip(asked, drawn, strict=True):
                lines.append({"image": _keep(image, folder / TRAINING), "label": label, "method": method})
    (folder / TRAINING / "labels.json").write_text(json_text(lines, indent=1) + "\n", encoding="utf-8")


def training_of(folder: Path) -> list[tuple[Path, str]]:
    """The visualisations from which simulated raters learn, with what each shows.

    Raises:
        ExplainError: the study was built without.
    """
    path = folder / TRAINING / "labels.json"
    if not path.is_file():
        raise ExplainError(f"{folder} has nothing for simulated raters to learn from; build it with --training 60.")
    return [(path.parent / line["image"], line["label"]) for line in json.loads(path.read_text(encoding="utf-8"))]


def _original(path: Path) -> Image.Image:
    return thumbnail(load_image(path), SIDE)


def _keep(image: Image.Image, folder: Path) -> str:
    """Write a stimulus under a random name; nothing but its pixels is in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{secrets.token_hex(8)}.webp"
    image.convert("RGB").save(folder / name, "WEBP", quality=QUALITY)
    os.utime(folder / name, (0, 0))  # a server tells the time, and with it which were drawn together
    return name
