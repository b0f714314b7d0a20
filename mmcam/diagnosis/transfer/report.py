"""What a report says, in plain words, before it is set as a page or on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmcam.diagnosis.transfer.calibration import RIGHT
from mmcam.diagnosis.transfer.findings import Finding, percent

MOST: Final = 300
"""Photographs that a report shows; further ones are counted."""


@dataclass(frozen=True)
class Trust:
    """How far a class can be trusted, from pictures that were not learnt from.

    Attributes:
        name: of the class.
        found: "of 20 there it found 18: 90 % (75–100)".
        meant: "of 19 that it called so, 18 were: 95 % (82–100)".
        few: fewer than ten pictures stand behind it.
    """

    name: str
    found: str
    meant: str
    few: bool


@dataclass(frozen=True)
class Report:
    """All that is told.

    Attributes:
        title: above it.
        date: of its making.
        summary: sentences.
        checked: what a person has to look at, the least sure first.
        shown: what else was found, the surest last.
        sound: what is sound for sure: names only.
        left_out: photographs beyond `MOST`.
        trust: by class.
        advice: sentences on what to expect of it.
        skipped: files that cannot be opened, each with a sentence.
        made: pairs of a word and what it was: command, data, network ….
        tested: whether the photographs have known classes.
    """

    title: str
    date: str
    summary: tuple[str, ...]
    checked: tuple[Finding, ...]
    shown: tuple[Finding, ...]
    sound: tuple[Finding, ...]
    left_out: int
    trust: tuple[Trust, ...]
    advice: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    made: tuple[tuple[str, str], ...]
    tested: bool


def report_of(
    findings: Sequence[Finding], skipped: Sequence[tuple[Path, str]], card: Mapping[str, Any], title: str, date: str
) -> Report:
    """Put findings and what the run's card says of the model into words."""
    checked = sorted((each for each in findings if each.check), key=lambda each: each.probability)
    sure = [each for each in findings if not each.check]
    shown = sorted((each for each in sure if each.defect), key=lambda each: (each.called, each.probability))
    sound = [each for each in sure if not each.defect]
    room = max(0, MOST - len(checked))
    tested = bool(findings) and all(each.photo.truth for each in findings)
    return Report(
        title=title,
        date=date,
        summary=_summary(findings, checked, card, tested),
        checked=tuple(checked[:MOST]),
        shown=tuple(shown[:room]),
        sound=tuple(sound),
        left_out=max(0, len(checked) - MOST) + max(0, len(shown) - room),
        trust=_trust(card),
        advice=_advice(card),
        skipped=tuple((path.name, why) for path, why in skipped),
        made=_made(card),
        tested=tested,
    )


def _summary(
    findings: Sequence[Finding], checked: Sequence[Finding], card: Mapping[str, Any], tested: bool
) -> tuple[str, ...]:
    counts = Counter(each.called for each in findings)
    told = ", ".join(f"{counts[name]} {name}" for name in card["classes"] if counts[name])
    lines = [f"{len(findings)} photographs were looked at: {told}."]
    if checked and card["sure_from"] >= 1:
        lines.append(
            "All of them should be looked at by hand: on the validation pictures there was no probability from which "
            f"on the model was right in {percent(RIGHT)}."
        )
    elif checked:
        lines.append(
            f"{len(checked)} of them should be looked at by hand: the model gives less than "
            f"{percent(card['sure_from'])}, from which on it was right in {percent(RIGHT)} of the validation pictures."
        )
    else:
        lines.append("None of them has to be looked at for want of sureness.")
    if tested:
        sure = [each for each in findings if not each.check]
        right = sum(each.called == each.photo.truth for each in sure)
        wrong = sum(each.called != each.photo.truth for each in checked)
        lines.append(
            f"What these photographs show was known, and the model did not learn from them: of the {len(sure)} it was "
            f"sure of, {right} are right; of the {len(checked)} it was not, {wrong} are wrong."
        )
    return tuple(lines)


def _trust(card: Mapping[str, Any]) -> tuple[Trust, ...]:
    rows = []
    for name, figures in card["scores"]["test"]["classes"].items():
        there, called, right = (figures[key] for key in ("pictures", "called", "right"))
        rows.append(
            Trust(
                name,
                f"of {there} there, it found {right}: {_range(figures['recall'])}",
                f"of {called} that it called so, {right} were: {_range(figures['precision'])}"
                if called
                else "it called none so",
                min(there, called) < 10,
            )
        )
    return tuple(rows)


def _advice(card: Mapping[str, Any]) -> tuple[str, ...]:
    test = card["scores"]["test"]
    lines = [
        f"Measured on {test['pictures']} photographs of {test['groups']} {_groups(card)} that were neither learnt from "
        f"nor chosen by. In brackets is where the figure would lie for 95 of 100 such samples.",
        f"The classes averaged, {_range(test['balanced_accuracy'])} are told right. Probabilities are off by "
        f"{percent(test['calibration_error']['value'])} on average.",
    ]
    if few := [row.name for row in _trust(card) if row.few]:
        lines.append(f"Behind the figures for {', '.join(few)} stand fewer than ten photographs: take them as hints.")
    sound = card.get("sound")
    if sound:
        missed = test["confusion"]
        at = card["classes"].index(sound)
        lost = sum(row[at] for i, row in enumerate(missed) if i != at)
        all_ = sum(sum(row) for i, row in enumerate(missed) if i != at)
        lines.append(
            f"Of {all_} photographs with a defect it called {lost} {sound}. “{sound}” is therefore no proof that "
            "nothing is there."
        )
    where = card.get("localisation")
    if where:
        best = where["test"]
        lines.append(
            f"Maps: on {best['pointing']['n']} photographs whose defects are masked, the map's strongest place "
            f"lies on the defect in {percent(best['pointing']['value'])}."
        )
    else:
        lines.append(
            "Maps: nobody has measured how often their strongest place lies on the defect, since no masks were given."
        )
    return tuple(lines)


def _made(card: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    data, settings = card["data"], card["settings"]
    parts = "; ".join(f"{name} {count}" for name, count in data["parts"].items())
    learnt = f"its last {percent(settings['unfrozen'])} trained" if settings["tune_epochs"] else "frozen"
    how = "chosen on the validation pictures" if card["chosen_by"] else "the default, not chosen by measurement"
    return (
        ("command", card["command"]),
        ("pictures", f"{data['source']}: {parts}; {'whole groups' if data['grouped'] else 'no groups given'}"),
        ("network", f"{card['backbone']}, weights {card['weights']}; {learnt}"),
        ("maps", f"{card['method']} at {card['layer']}, from {percent(card['share'])} of the maximum; {how}"),
        ("temperature", f"{card['temperature']:.2f}"),
        ("seed", str(settings["seed"])),
        ("mmcam", card["version"]),
    )


def _groups(card: Mapping[str, Any]) -> str:
    return "groups" if card["data"]["grouped"] else "single pictures"


def _range(figure: Mapping[str, Any]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None or value != value:
        return "not known"
    if low is None or low != low:
        return percent(value)
    return f"{100 * value:.0f} % ({100 * low:.0f}–{100 * high:.0f})"
