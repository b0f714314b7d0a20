"""The answers of a study as a table, and whose are left out by its rules."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmcam.errors import ExplainError
from mmcam.files import read_json
from mmcam.studies.design import Design, Trial
from mmcam.studies.plans import plan, rows, unswapped
from mmcam.studies.store import Answer, Session, Store

ORDERS: Final = 4
"""Of a study without a server, so many orders of each row of the plan."""
FEW: Final = 10
"""Items below which the same key at each is no sign of anything."""


@dataclass(frozen=True)
class Row:
    """One answer to one item.

    Attributes:
        rater: number of the session, from 0.
        item: number of the item.
        method: of the visualisation.
        choice: number of the answer where nothing is swapped.
        value: 1 or 0 for right or wrong; of a rating −2 to 2, above 0 for the first model.
        right: whether the model's prediction was right, of the study of agreement; else None.
        ms: it took.
    """

    rater: int
    item: int
    method: str
    choice: int
    value: float
    right: bool | None
    ms: float


@dataclass(frozen=True)
class Excluded:
    """Someone whose answers are left out, and why."""

    source: str
    rater: str
    why: str


@dataclass(frozen=True)
class Table:
    """The answers that count.

    Attributes:
        simulated: they are of programs, and of no person.
        raters: the sessions that count, in the order of `Row.rater`.
        rows: their answers to items.
        excluded: who is left out.
    """

    simulated: bool
    raters: tuple[Session, ...]
    rows: tuple[Row, ...]
    excluded: tuple[Excluded, ...]


def table(design: Design, key: Mapping[str, Trial], store: Store, simulated: bool) -> Table:
    """The answers of people, or of simulated raters: never of both together."""
    kept: list[Session] = []
    found: list[Row] = []
    excluded = []
    for session in store.sessions():
        if (session.source == "simulated") != simulated:
            continue
        answers = store.answers(session.session)
        if why := reasons(design, key, session, answers):
            excluded.append(Excluded(session.source, session.rater, "; ".join(why)))
            continue
        swapped = dict(session.trials)
        found += [
            _row(design, key[one.trial], swapped[one.trial], one, len(kept))
            for one in answers
            if key[one.trial].role == "item"
        ]
        kept.append(session)
    return Table(simulated, tuple(kept), tuple(found), tuple(excluded))


def reasons(design: Design, key: Mapping[str, Trial], session: Session, answers: Sequence[Answer]) -> list[str]:
    """Why a session is left out, by the rules of the design; none for one that counts."""
    rules, why = design.rules, []
    items = [one for one in answers if key[one.trial].role == "item"]
    checks = [one for one in answers if key[one.trial].role == "check"]
    if rules.unfinished and session.finished is None:
        why.append(f"did not finish ({len(answers)} of {len(session.trials)} answers)")
    failed = sum(one.choice != key[one.trial].truth for one in checks)
    if failed > rules.failed_checks:
        why.append(f"failed {failed} of {len(checks)} attention checks")
    if items and (median := statistics.median(one.ms for one in items)) < rules.median_ms:
        why.append(f"median time of {median:.0f} ms")
    if rules.one_answer and len(items) >= FEW and len({one.choice for one in items}) == 1:
        why.append(f"pressed key {items[0].choice + 1} at all {len(items)} items")
    return why if items or why else ["answered no item"]


def _row(design: Design, trial: Trial, swapped: bool, answer: Answer, rater: int) -> Row:
    choice = unswapped(trial, swapped, answer.choice)
    right = None
    if design.what.rated:
        value = float(len(trial.choices) // 2 - choice)
    elif design.kind == "agreement":
        right = trial.truth == 0
        value = float((choice < len(trial.choices) // 2) == right)
    else:
        value = float(choice == trial.truth)
    return Row(rater, trial.item, trial.method, choice, value, right, answer.ms)


def collect(design: Design, key: Mapping[str, Trial], store: Store, files: Iterable[Path]) -> list[str]:
    """Take in the files that raters of a study without a server saved; one that was taken in already changes nothing.

    Returns:
        The IDs of their raters.

    Raises:
        ExplainError: a file is of another study, or no such file.
    """
    return [_collected(design, key, store, path) for path in files]


def _collected(design: Design, key: Mapping[str, Trial], store: Store, path: Path) -> str:
    try:
        found = read_json(path)
        study, plan_number = str(found["study"]), int(found["plan"])
        rater, details = str(found["rater"]), {str(k): str(v) for k, v in found["details"].items()}
        started, finished = float(found["started"]), float(found["finished"])
        answers = [Answer(str(a["id"]), str(a["trial"]), int(a["choice"]), float(a["ms"])) for a in found["answers"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExplainError(f"{path} is no file of answers; raters save it on the last page of a study.") from error
    if study != design.id or not 0 <= plan_number < rows(design) * ORDERS:
        raise ExplainError(f"{path} is of another study than {design.id}.")
    row = plan_number % rows(design)
    steps = plan(design, key, row, order_of(plan_number))
    trials = [(step.trial.token, step.swapped) for step in steps]
    own = {token for token, _ in trials}
    answerable = {token: range(len(key[token].choices)) for token in own}
    if strange := [one.trial for one in answers if one.choice not in answerable.get(one.trial, ())]:
        raise ExplainError(f"{path} answers {json.dumps(strange[0])}, which is none of its plan's trials.")
    session = store.begin("static", rater, details, row, trials, "")
    store.add(session.session, answers)
    if own == {one.trial for one in answers} and finished >= started:
        store.finish(session.session, finished)
    return rater


def order_of(plan_number: int) -> str:
    """The seed of the order of a plan that a folder without a server holds."""
    return f"static {plan_number}"


def csv_rows(found: Table) -> list[dict[str, Any]]:
    """The answers that count for other programs, one a line; IDs of people are not in it."""
    return [
        {
            "rater": f"{'simulated' if found.simulated else 'rater'} {row.rater}", "simulated": found.simulated,
            "item": row.item, "method": row.method, "choice": row.choice, "value": row.value, "ms": row.ms,
        }
        for row in found.rows
    ]  # fmt: skip
