"""The page of an attack: the maps of what is there without and with noise, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmcam.diagnosis.attack.noise import Noise
from mmcam.diagnosis.attack.run import Report
from mmcam.diagnosis.pairs import Page, Pair, short, told, write_page
from mmcam.diagnosis.records import Record
from mmcam.report.explained import fixed

PLACES = {
    "both": "on the thing before and after",
    "before": "on the thing before, not after",
    "after": "on the thing after, not before",
    "neither": "beside the thing before and after",
}


def write_attack(
    path: Path, title: str, records: Sequence[Record], report: Report, noise: Noise, methods: Sequence[str]
) -> Path:
    """Write the page; one that is there is replaced.

    Args:
        path: of the page.
        title: above it.
        records: with "cards".
        report: what they say together.
        noise: how it was found.
        methods: the first is that of the maps on the page.
    """
    found = [(record, t) for record in records if record.get("cards") for t in range(len(record["true"]))]
    names = Counter((record["true"][t], record["wrong"]) for record, t in found)
    order = sorted(names, key=lambda pair: (-names[pair], pair))
    pairs = tuple(
        _pair(record, t, methods[0], order.index((record["true"][t], record["wrong"]))) for record, t in found
    )
    page = Page(
        "attack",
        title,
        ("before", "after"),
        ("agreement of the maps", "confidence before", "steps"),
        "what it sees",
        tuple((short(true), short(wrong), names[true, wrong]) for true, wrong in order),
        {place: text for place, text in PLACES.items() if place in {pair.place for pair in pairs}},
        "No picture could be shown.",
        report.skipped,
        pairs,
    )
    return write_page(
        path,
        "diagnosis/attack/page.html.jinja",
        page,
        report=report,
        noise=noise,
        probabilities=[told(each.value) if each.n else "–" for each in report.true],
        located=any(row.before.n for row in report.rows),
    )


def _pair(record: Record, t: int, method: str, group: int) -> Pair:
    before, after, agreement = record["methods"][method][t]
    card, p, file = record["cards"][t], record["p true"][t], Path(record["picture"])
    facts = [
        f"{record['wrong']} {told(record['p wrong'][0])} → {told(record['p wrong'][1])}",
        *([] if record["fooled"] else ["not fooled"]),
        f"{record['steps']} steps, ±{record['largest']}/255",
        *([] if agreement is None else [f"agreement {fixed(agreement)}"]),
        f"{file.parent.name}/{file.name}",
    ]
    place = {
        (True, True): "both",
        (True, False): "before",
        (False, True): "after",
        (False, False): "neither",
    }.get((before, after), "")
    return Pair(
        facts[-1],
        (short(record["true"][t]), short(record["true"][t])),
        (told(p[0]), told(p[1])),
        (card["images"][0], card["images"][1]),
        (card["size"][0], card["size"][1]),
        (card["maps"][0], card["maps"][1]),
        " · ".join([*facts, *([PLACES[place]] if place else [])]),
        (),
        group,
        place,
        (agreement, p[0], record["steps"]),
    )
