"""Which rater answers what: every rater sees an item once, and over raters every method and side comes equally often.

With M methods there are 2·M rows. In row r the item at place j (of an order drawn once) is shown by method (j + r) mod
M, a Latin square, and swapped where ⌊j/M⌋ + ⌊r/M⌋ is odd, so that over the rows every item is seen by every method on
both sides. Where raters do not answer all items, the items are dealt into parts and each row comes once for every part.
A new rater gets a row that fewest have, and an order of his own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from mmcam.studies.design import Design, Trial


@dataclass(frozen=True)
class Step:
    """A trial of a rater, and whether its sides are swapped."""

    trial: Trial
    swapped: bool


def rows(design: Design) -> int:
    """How many rows there are."""
    return 2 * len(design.methods) * ceil(design.items / design.per_rater)


def plan(design: Design, key: Mapping[str, Trial], row: int, order: str) -> list[Step]:
    """What a rater answers: a practice item, then his items in an order of his own, with attention checks between them.

    Args:
        design, key: of the study.
        row: 0 to `rows` − 1.
        order: seed of the order.
    """
    methods = len(design.methods)
    parts = ceil(design.items / design.per_rater)
    part, square = row % parts, row // parts
    places = list(range(design.items))
    random.Random(f"{design.seed} deal").shuffle(places)
    cells = {(trial.item, trial.method): trial for trial in key.values() if trial.role == "item"}
    steps = []
    for j in range(design.items):
        if j * parts // design.items != part:
            continue
        method = design.methods[(j + square) % methods]
        swapped = design.what.two_sided and (j // methods + square // methods) % 2 == 1
        steps.append(Step(cells[places[j], method], swapped))
    rng = random.Random(f"{design.seed} {order}")
    rng.shuffle(steps)
    practice = [Step(trial, False) for trial in key.values() if trial.role == "practice"]
    checks = [Step(trial, False) for trial in key.values() if trial.role == "check"]
    rng.shuffle(checks)
    return practice + _between(steps, checks, rng)


def _between(steps: Sequence[Step], checks: Sequence[Step], rng: random.Random) -> list[Step]:
    """Checks among items: one in each of as many stretches, never the first or the last of all."""
    found = list(steps)
    width = len(steps) / max(1, len(checks))
    for number in reversed(range(len(checks))):
        first, last = max(1, ceil(number * width)), min(len(steps) - 1, int((number + 1) * width) - 1)
        found.insert(rng.randint(first, max(first, last)), checks[number])
    return found


def shown(design: Design, step: Step) -> dict[str, object]:
    """What the page is told of a step: nothing of methods, models, or what is right."""
    trial = step.trial
    turned = slice(None, None, -1) if step.swapped else slice(None)
    own = trial.choices if design.what.answers else trial.choices[turned]
    told: dict[str, object] = {
        "trial": trial.token,
        "images": list(trial.images[turned]),
        "picture": trial.picture,
        "question": design.question.replace("{label}", trial.label),
        "choices": list(own),
        "notice": trial.notice,
    }
    return told | ({"feedback": trial.feedback} if trial.feedback else {})


def unswapped(trial: Trial, swapped: bool, choice: int) -> int:
    """The number of an answer where nothing is swapped."""
    return len(trial.choices) - 1 - choice if swapped else choice
