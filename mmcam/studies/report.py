"""The analysis of a study as lines of a table and as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmcam.evaluation.uncertainty import Interval
from mmcam.files import write_whole
from mmcam.report.templates import rendered
from mmcam.studies.analysis import Analysis, MethodFigure
from mmcam.studies.design import Design
from mmcam.version import __version__

SIMULATED: Final = "simulated raters, which are programs and no people"
PEOPLE: Final = "people"


def who(analysis: Analysis) -> str:
    """Whose answers they are."""
    return SIMULATED if analysis.simulated else PEOPLE


@dataclass(frozen=True)
class Bar:
    """A figure drawn on a scale; all in percent of its width.

    Attributes:
        at, low, high: the figure and its interval.
        published: the paper's figure; None for none.
    """

    at: float
    low: float
    high: float
    published: float | None


def bar(design: Design, figure: MethodFigure) -> Bar | None:
    """Where a figure stands on the page's scale; None of no answers."""
    if math.isnan(figure.figure.value):
        return None
    low, high = (figure.figure.value if math.isnan(x) else x for x in (figure.figure.low, figure.figure.high))
    published = None if figure.published is None else place(design, figure.published)
    return Bar(place(design, figure.figure.value), place(design, low), place(design, high), published)


def place(design: Design, value: float) -> float:
    """A figure on the scale of its kind: 0 to 1, or −2 to 2, in percent."""
    return 100 * ((value + 2) / 4 if design.what.rated else value)


def told(design: Design, value: float | None, signed: bool = False) -> str:
    """A figure to read: in percent, or with two digits; "–" for none."""
    if value is None or math.isnan(value):
        return "–"
    sign = "+" if signed or design.what.rated else ""
    text = f"{value:{sign}.2f}" if design.what.rated else f"{100 * value:{sign}.1f}"
    return text.replace("-", "−")


def interval(design: Design, figure: Interval, signed: bool = False) -> str:
    """A figure with its interval."""
    if math.isnan(figure.low):
        return told(design, figure.value, signed)
    low, high = (told(design, x, signed) for x in (figure.low, figure.high))
    return f"{told(design, figure.value, signed)} ({low} to {high})"


def chance(p: float) -> str:
    """A p to read."""
    return "–" if math.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def number(value: float) -> str:
    """α or a power to read."""
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def lines(design: Design, analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and a row a method."""
    split = design.kind == "agreement"
    head = ["method", design.what.figure, "p", "answers", "Krippendorff's α", "median time, s", "published, of people"]
    rows = [
        [
            one.method, interval(design, one.figure), chance(one.p), str(one.answers), number(one.agreement),
            "–" if analysis.simulated or math.isnan(one.median_ms) else f"{one.median_ms / 1000:.1f}",
            told(design, one.published),
            *([told(design, one.of_right), told(design, one.of_wrong)] if split else []),
        ]
        for one in analysis.methods
    ]  # fmt: skip
    return head + (["where the model is right", "where it is wrong"] if split else []), rows


def differences(design: Design, analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """The same of every two methods."""
    head = ["methods", "difference", "p", "published", f"power of {analysis.planned} raters"]
    return head, [
        [
            f"{one.first} − {one.second}", interval(design, one.figure, True), chance(one.p),
            told(design, one.published, True), number(one.power),
        ]
        for one in analysis.differences
    ]  # fmt: skip


def write_report(path: Path, design: Design, analyses: Sequence[Analysis]) -> Path:
    """Write the page; it needs nothing else, no network either."""
    middle = place(design, 0.0 if design.what.rated else design.what.chance or 0.0)
    filters = {"who": who, "told": lambda value: told(design, value)}
    html = rendered(
        "studies/report.html.jinja",
        filters,
        design=design,
        parts=[
            (one, [bar(design, each) for each in one.methods], lines(design, one), differences(design, one))
            for one in analyses
        ],
        middle=middle,
        ends=("−2", "0", "+2") if design.what.rated else ("0 %", "chance", "100 %"),
        version=__version__,
    )
    return write_whole(path, lambda file: file.write(html.encode("utf-8", "backslashreplace")))
