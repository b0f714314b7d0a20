"""The page of a choice: each picture that both models get right with the maps of both, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcam.diagnosis.choice.rater import raters, rating
from mmcam.diagnosis.choice.run import FIGURES, Compared, accuracy, verdict
from mmcam.diagnosis.pairs import Page, Pair, percent, write_page
from mmcam.diagnosis.records import Record
from mmcam.evaluation.uncertainty import Interval
from mmcam.report.explained import fixed

GROUPS = ("the first is more reasonable", "both alike", "the second is more reasonable")


def write_choice(
    path: Path, names: tuple[str, str], records: Sequence[Record], found: Sequence[Compared], methods: Sequence[str]
) -> Path:
    """Write the page; one that is there is replaced.

    Args:
        path: of the page.
        names: of the models.
        records: of all pictures.
        found: of each method.
        methods: the first is that of the maps on the page.
    """
    both = [record for record in records if "card" in record]
    answers = [_answer(record, methods[0]) for record in both]
    located = found[0].rating is not None
    groups = [0 if (a or 0) > 0 else 1 if not a else 2 for a in answers]
    page = Page(
        "choose",
        f"{names[0]} or {names[1]}?",
        names,
        ("raters’ answer", "lead on the thing", "lead in what matters"),
        "answer",
        tuple((text, "", groups.count(number)) for number, text in enumerate(GROUPS)) if located else (),
        {},
        "Both models get none of the pictures right.",
        tuple((record["picture"], record["skipped"]) for record in records if "skipped" in record),
        tuple(_pair(*each, methods[0]) for each in zip(both, answers, groups, strict=True)),
    )
    right = [accuracy(records, place) for place in range(2)]
    return write_page(
        path,
        "diagnosis/choice/page.html.jinja",
        page,
        models=[(name, percent(share)) for name, share in zip(names, right, strict=True)],
        pictures=right[0].n,
        compared=len(both),
        methods=[_method(one, names) for one in found],
        located=located,
    )


def signed(interval: Interval) -> str:
    """A lead, with its interval."""
    values = (f"{value:+.2f}".replace("-", "−") for value in (interval.value, interval.low, interval.high))
    value, low, high = values
    return value if interval.low != interval.low else f"{value} ({low} to {high})"


def _method(one: Compared, names: tuple[str, str]) -> dict[str, object]:
    """The rows of a method's table."""
    rows = [
        (told, *(fixed(mean.value) for mean in one.of[name]), signed(one.lead[name]), verdict(one.lead[name], names))
        for name, told in FIGURES.items()
        if name in one.lead
    ]
    if one.rating is not None:
        rows.append(("raters, −2 to 2", "", "", signed(one.rating), verdict(one.rating, names)))
    return {"name": one.method, "rows": rows}


def _answer(record: Record, method: str) -> float | None:
    first, second = record["methods"][method]["mass"]
    return None if first is None else rating(first, second, raters())


def _pair(record: Record, answer: float | None, group: int, method: str) -> Pair:
    figures, card, file = record["methods"][method], record["card"], Path(record["picture"])
    mass, matters = figures["mass"], figures["matters"]
    shares = ["" if share is None else f"{100 * share:.0f} % on it" for share in mass]
    facts = [f"{file.parent.name}/{file.name}"]
    if answer is not None:
        facts.append(f"raters {fixed(answer, 1)}")
    facts.append(f"insertion less deletion {fixed(matters[0])} and {fixed(matters[1])}")
    return Pair(
        facts[0],
        (record["told"], record["told"]),
        (shares[0], shares[1]),
        (card["image"], ""),
        (card["size"][0], card["size"][1]),
        (card["maps"][0], card["maps"][1]),
        " · ".join(facts),
        (),
        group,
        "",
        (answer, None if mass[0] is None else mass[0] - mass[1], matters[0] - matters[1]),
    )
