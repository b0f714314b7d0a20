"""The page of failures: each with the maps of the truth and of what was said, side by side, grouped by confusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image

from mmcam.diagnosis.failures.case import Way
from mmcam.diagnosis.failures.summary import PLACES, Summary, place_of
from mmcam.diagnosis.records import Record
from mmcam.drawing.saving import save_as
from mmcam.evaluation.uncertainty import Mean
from mmcam.report.explained import colours, fixed, map_look, ramp
from mmcam.report.spotlight import data_uri
from mmcam.report.templates import rendered
from mmcam.version import __version__

MEAN_SIDE = 168
"""Pixels a side of the pictures of mean maps."""
LISTED = 12
"""Labels of the table of the worst."""
FEW = 3
"""Cases of a label from which on a share of them is told."""
LONG = 60
"""Letters of a name of a confusion."""


def write_page(path: Path, records: Sequence[Record], found: Summary, way: Way, title: str, counted: str) -> Path:
    """Write the page of what was judged; it appears whole or not at all, and one that is there is replaced.

    Args:
        path: of the page.
        records: of all cases.
        found: their summary.
        way: how maps were made.
        title: of the page.
        counted: what a case is, in the plural: pictures, questions, words.

    Raises:
        ExplainError: another suffix than .html, or a place where nothing can be written.
    """

    def write(file: IO[bytes]) -> None:
        file.write(page(records, found, way, title, counted).encode("utf-8", "backslashreplace"))

    return save_as(path, {".html": write, ".htm": write}, "a page is an .html file")


def page(records: Sequence[Record], found: Summary, way: Way, title: str, counted: str) -> str:
    """The HTML of the page (see `write_page`)."""
    failures = [record for record in records if "skipped" not in record and not record["right"]]
    order = {(truth, said): n for n, (truth, said, _) in enumerate(found.confusions)}
    cards = [_card(case, order[case["truth"], case["said"]]) for case in failures]
    counts = [{"truth": short(truth), "said": short(said), "count": count} for truth, said, count in found.confusions]
    sides = {name: {"side": side, "mean": mean_picture(side.grid)} for name, side in found.sides.items() if side.n}
    return rendered(
        "diagnosis/failures/page.html.jinja",
        {"percent": percent, "figure": figure, "fixed": fixed, "told": told},
        title=title,
        found=found,
        cards=cards,
        confusions=counts,
        sides=sides,
        located=bool(found.sides["wrong"].points.n or found.sides["right"].points.n),
        labels=[label for label in found.labels if label[1] >= FEW and label[2]][:LISTED],
        places=PLACES,
        counted=counted,
        how=_how(way),
        gradient=ramp(),
        data={**map_look(), "cards": [card["drawn"] for card in cards]},
        version=__version__,
    )


def mean_picture(grid: torch.Tensor | None) -> str:
    """A mean map as a picture; "" of none."""
    if grid is None:
        return ""
    levels = (grid / grid.max() * 255).round().to(torch.uint8).numpy()
    large = Image.fromarray(levels).resize((MEAN_SIDE, MEAN_SIDE), Image.Resampling.BICUBIC)
    return data_uri(Image.fromarray(colours()[np.asarray(large)]), 90)


def short(name: str) -> str:
    """A name to read: long ones are cut."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def percent(value: Mean) -> str:
    """A share in percent, with its standard error if there is one; "–" where nothing was measured."""
    return _with_error(value, 100, 0, " %")


def figure(value: Mean) -> str:
    """The same of a figure between −1 and 1."""
    return _with_error(value, 1, 2, "")


def told(probability: float | None) -> str:
    """A probability to read; "" where nothing says."""
    return "" if probability is None else f"{probability:.2g}" if probability < 0.01 else f"{probability:.2f}"


def _with_error(value: Mean, scale: int, digits: int, unit: str) -> str:
    if not value.n:
        return "–"
    text = fixed(scale * value.value, digits)
    error = "" if np.isnan(value.standard_error) else f" ± {fixed(scale * value.standard_error, max(digits, 1))}"
    return f"{text}{error}{unit}"


def _how(way: Way) -> str:
    parts = [str(way.how.get("method", "gradcam"))]
    if way.how.get("layer") is not None:
        parts.append(f"at {way.how['layer']}")
    return " ".join(parts)


def _card(case: Record, group: int) -> dict[str, Any]:
    """What the page shows of a failure; what it sorts by, a missing figure last."""
    file = case["picture"].partition("\t")[0]
    card = case["card"]
    return {
        "name": Path(file).name,
        "folder": Path(file).parent.name,
        "what": card["context"],
        "group": group,
        "truth": short(case["truth"]),
        "said": short(case["said"]),
        "truth probability": case["truth confidence"],
        "probability": case["confidence"],
        "agreement": case["agreement"],
        "place": place_of(case),
        "image": card["image"],
        "size": card["size"],
        "notes": card["notes"],
        "scores": card["scores"],
        "drawn": card["maps"],
    }
