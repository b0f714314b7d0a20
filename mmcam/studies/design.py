"""The design of a study, written when it is built and not touched afterwards: what is asked, and by which rules.

A study is a folder::

    design.json     what raters are told and asked, and the rules by which answers are left out; raters see the texts
    key.json        which stimulus is of which method, model and picture, and what is right; raters never see it
    stimuli/        pictures under random names
    answers.sqlite  what raters answered
    training/       pictures for simulated raters, where they were asked for
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from mmcam.errors import ExplainError
from mmcam.files import json_text, read_json, write_whole
from mmcam.studies.kinds import KINDS, Kind

DESIGN: Final = "design.json"
KEY: Final = "key.json"
STIMULI: Final = "stimuli"
TRAINING: Final = "training"
ANSWERS: Final = "answers.sqlite"


@dataclass(frozen=True)
class Rules:
    """Whose answers are left out, as was decided before the first one came.

    Attributes:
        unfinished: those who did not reach the end.
        failed_checks: those who failed more attention checks than so many.
        median_ms: those whose median time for an item is below so many milliseconds.
        one_answer: those who pressed the same key at every item, of ten or more.
    """

    unfinished: bool = True
    failed_checks: int = 1
    median_ms: int = 400
    one_answer: bool = True

    def sentences(self) -> list[str]:
        """The rules in words."""
        said = ["who did not finish"] if self.unfinished else []
        said.append(f"who failed more than {self.failed_checks} attention check{'s' * (self.failed_checks != 1)}")
        said.append(f"whose median time for an item is below {self.median_ms} ms")
        return said + (["who pressed the same key at each of ten or more items"] if self.one_answer else [])


@dataclass(frozen=True)
class Design:
    """What a study asks.

    Attributes:
        id: of the study, random; answers of one study cannot be taken for those of another.
        kind: see `mmcam.studies.kinds`.
        title, question: that raters see.
        consent: paragraphs that raters agree to.
        instructions: pages.
        methods: that are compared.
        models: how they are called here; raters see no name of them. Of two, a positive rating is for the first.
        accuracy: of each model, on the pictures it was asked about.
        items: how many there are.
        per_rater: how many of them each rater answers.
        checks: attention checks of each rater.
        seed: of orders and of what is chosen at random.
        minutes: how long it may take.
        completion_code: that Prolific is told; Mechanical Turk's raters get each their own.
        rules: whose answers are left out.
        source: of the pictures.
        command: that built it.
        version: of mmcam.
    """

    id: str
    kind: str
    title: str
    question: str
    consent: tuple[str, ...]
    instructions: tuple[str, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...]
    accuracy: tuple[float, ...]
    items: int
    per_rater: int
    checks: int
    seed: int
    minutes: int
    completion_code: str
    rules: Rules
    source: str
    command: str
    version: str

    @property
    def what(self) -> Kind:
        """Its kind."""
        return KINDS[self.kind]

    def digest(self) -> str:
        """A hash of all of it, kept with the first answer: what was decided beforehand stays as it was."""
        return hashlib.sha256(json_text(asdict(self)).encode()).hexdigest()

    def write(self, folder: Path) -> Path:
        """Write it into the study's folder."""
        data = (json_text(asdict(self), indent=1) + "\n").encode()
        return write_whole(folder / DESIGN, lambda file: file.write(data))


def read_design(folder: Path) -> Design:
    """The design of a study.

    Raises:
        ExplainError: the folder holds none, or one of another form.
    """
    try:
        found = read_json(folder / DESIGN)
    except ValueError as error:
        raise ExplainError(f"{folder} is no study ({error}); `mmcam study build` makes one.") from error
    names = {field.name for field in fields(Design)}
    if not isinstance(found, dict) or found.keys() != names or found["kind"] not in KINDS:
        raise ExplainError(f"{folder / DESIGN} is of another form than this version's; build the study anew.")
    _check_types(found, folder / DESIGN)
    lists = ("consent", "instructions", "methods", "models", "accuracy")
    try:
        rules = Rules(**found["rules"])
    except TypeError as error:
        raise ExplainError(f"The rules in {folder / DESIGN} are of another form; build the study anew.") from error
    return Design(**{**found, "rules": rules, **{name: tuple(found[name]) for name in lists}})


def _check_types(found: dict[str, Any], path: Path) -> None:
    """Raise ExplainError for a value of another type than is written: a person may have edited texts and rules."""
    texts = ("consent", "instructions", "methods", "models")
    types: dict[str, type] = dict.fromkeys(found, str)
    types |= dict.fromkeys(("items", "per_rater", "checks", "seed", "minutes"), int)
    types |= dict.fromkeys((*texts, "accuracy"), list) | {"rules": dict}
    wrong = [name for name, kind in types.items() if type(found[name]) is not kind]
    wrong += [name for name in texts if name not in wrong and not all(type(one) is str for one in found[name])]
    rules = found["rules"] if type(found["rules"]) is dict else {}
    wrong += [name for name in ("failed_checks", "median_ms") if type(rules.get(name, 0)) is not int]
    wrong += [name for name in ("unfinished", "one_answer") if type(rules.get(name, True)) is not bool]
    if wrong:
        raise ExplainError(f"In {path} {wrong[0]} is of another type than `mmcam study build` writes; put it right.")


@dataclass(frozen=True)
class Trial:
    """One screen with a question.

    Attributes:
        token: random, its name everywhere outside of the key.
        role: "item", "check" or "practice".
        images: names of stimuli, in the order in which they are shown where nothing is swapped.
        picture: name of the original picture that is shown, too; "" for none.
        label: of the class that is named; "" for none.
        choices: answers.
        truth: number of the right one; None where no answer is right.
        item: number of the item, −1 of others.
        method: of the visualisation.
        notice: that stands above the question: the instruction of an attention check.
        feedback: of a practice item, told after any answer.
        about: what else the key keeps of it, for the reader of the table.
    """

    token: str
    role: str
    images: tuple[str, ...]
    picture: str
    label: str
    choices: tuple[str, ...]
    truth: int | None
    item: int = -1
    method: str = ""
    notice: str = ""
    feedback: str = ""
    about: Mapping[str, Any] | None = None


def write_key(folder: Path, trials: list[Trial]) -> Path:
    """Write which trials there are, with what is right."""
    data = (json_text({"trials": [asdict(trial) for trial in trials]}, indent=1) + "\n").encode()
    return write_whole(folder / KEY, lambda file: file.write(data))


def read_key(folder: Path) -> dict[str, Trial]:
    """The trials of a study by their tokens.

    Raises:
        ExplainError: there is no key, or one of another form.
    """
    try:
        found = read_json(folder / KEY)["trials"]
        trials = [Trial(**{**one, "images": tuple(one["images"]), "choices": tuple(one["choices"])}) for one in found]
    except (ValueError, KeyError, TypeError) as error:
        raise ExplainError(f"{folder / KEY} is no key of a study; build the study anew.") from error
    return {trial.token: trial for trial in trials}
