"""The page of failures: each with the maps of the truth and of what was said, side by side, grouped by confusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures.summary import PLACES, Summary, place_of
from mmcam.diagnosis.pairs import Page, Pair, short, told
from mmcam.diagnosis.pairs import write_page as write_pairs
from mmcam.diagnosis.records import Record
from mmcam.report.explained import colours, fixed
from mmcam.report.spotlight import data_uri

MEAN_SIDE = 168
"""Pixels a side of the pictures of mean maps."""
LISTED, FEW = 12, 3
"""Labels of the table of the worst, and cases of a label from which on a share of them is told."""


def write_page(
    path: Path, records: Sequence[Record], found: Summary, explainer: Explainer, title: str, counted: str
) -> Path:
    """Write the page of what was judged; it appears whole or not at all, and one that is there is replaced.

    Args:
        path: of the page.
        records: of all cases.
        found: their summary.
        explainer: how maps were made.
        title: of the page.
        counted: what a case is, in the plural: pictures, questions, words.

    Raises:
        ExplainError: another suffix than .html, or a place where nothing can be written.
    """
    failures = [record for record in records if "skipped" not in record and not record["right"]]
    order = {(truth, said): number for number, (truth, said, _) in enumerate(found.confusions)}
    page = Page(
        "failures",
        title,
        ("truth", "said"),
        ("confidence", "confidence in the truth", "agreement of the maps"),
        "confusion",
        tuple((short(truth), short(said), count) for truth, said, count in found.confusions),
        {place: PLACES[place] for place in found.places},
        "The model was right every time.",
        found.skipped,
        tuple(_pair(case, order[case["truth"], case["said"]]) for case in failures),
    )
    sides = {name: side for name, side in found.sides.items() if side.n}
    return write_pairs(
        path,
        "diagnosis/failures/page.html.jinja",
        page,
        found=found,
        means={name: {"side": side, "mean": mean_picture(side.grid)} for name, side in sides.items()},
        located=any(side.points.n for side in sides.values()),
        labels=[label for label in found.labels if label[1] >= FEW and label[2]][:LISTED],
        all_places=PLACES,
        counted=counted,
        how=explainer.told,
    )


def mean_picture(grid: torch.Tensor | None) -> str:
    """A mean map as a picture; "" of none."""
    if grid is None:
        return ""
    levels = (grid / grid.max() * 255).round().to(torch.uint8).numpy()
    large = Image.fromarray(levels).resize((MEAN_SIDE, MEAN_SIDE), Image.Resampling.BICUBIC)
    return data_uri(Image.fromarray(colours()[np.asarray(large)]), 90)


def _pair(case: Record, group: int) -> Pair:
    """What the page shows of a failure."""
    file, card, place = Path(case["picture"].partition("\t")[0]), case["card"], place_of(case)
    facts = [card["context"], f"{file.parent.name}/{file.name}", PLACES[place]]
    if case["agreement"] is not None:
        facts.insert(2, f"agreement {fixed(case['agreement'])}")
    return Pair(
        f"{file.parent.name}/{file.name}",
        (short(case["truth"]), short(case["said"])),
        (told(case["truth confidence"]), told(case["confidence"])),
        (card["image"], ""),
        (card["size"][0], card["size"][1]),
        (card["maps"][0], card["maps"][1]),
        " · ".join(fact for fact in facts if fact),
        tuple(card["notes"]),
        group,
        place,
        (case["confidence"], case["truth confidence"], case["agreement"]),
    )
