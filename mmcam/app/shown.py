"""From explanations to what the viewer draws: the picture once, and each map as the values of its cells."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from mmcam import ExplainError, Explanation
from mmcam.app.asking import Answered, Panel, task_of
from mmcam.app.code import python
from mmcam.app.settings import UPLOADED, Settings
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.exemplars import patches
from mmcam.report.explained import fixed, how_of, scored
from mmcam.report.maps import drawn, seen_together
from mmcam.report.shown import Line
from mmcam.report.spotlight import data_uri

_maps: WeakKeyDictionary[Explanation, dict[str, Any]] = WeakKeyDictionary()
"""Of the explanations that visitors' sessions keep."""

_UNITS = re.compile(r"\(units? \d+(?:(?:, | and )\d+)*")
"""Where a sentence names units."""


def shown(answered: Answered, visitor: str) -> dict[str, Any]:
    """Everything the viewer draws, ready for JSON.

    Args:
        answered: what was explained.
        visitor: whose session it is kept in, for the files that may be taken.
    """
    picture, settings = answered.picture, answered.settings
    size, uri = picture.small
    task = task_of(settings, answered.model)
    first = answered.panels[0]
    return {
        "key": answered.key,
        "visitor": visitor,
        "task": task,
        "neurons": settings.page == "neurons",
        "picture": uri,
        "size": list(size),
        "told": picture.told,
        "credit": picture.credit,
        "question": settings.text if task == "answer" else "",
        "items": [_item(answered, i) for i in range(len(first.items))],
        "panels": [_panel(panel, size) for panel in answered.panels],
        "held": answered.held,
        "own": settings.sample == UPLOADED,
        "why": answered.model.units is not None,
    }


def _line(panel: Panel) -> Line:
    """The text that a panel's explanations are of, as reports know it."""
    if isinstance(panel.said, tuple):
        return Line("target", (), panel.said[0])
    return panel.said.line()


def _item(answered: Answered, i: int) -> dict[str, Any]:
    """One word, class or answer: what stands on its button, and what is said of it."""
    panel = answered.panels[0]
    exp, own = panel.items[i], panel.more is not None and i == len(panel.items) - 1
    last = len(panel.items) - 1 - (panel.more is not None)
    line = _line(panel)
    kind = line.kind if not own else "target"
    whole = line.kind == "caption" and i == last and not own
    prediction = exp.prediction
    number = fixed(exp.score)
    if kind == "target" and prediction is not None and prediction.probability is not None and not own:
        number = f"{100 * prediction.probability:.3g} %"
    return {
        "label": "whole caption" if whole else exp.target,
        "number": number,
        "told": f"{scored(exp, line)} {fixed(exp.score)}",
        "role": "more" if own else "whole" if line.kind != "target" and i == last else "word",
        "python": python(answered, i),
        "link": _link(answered.settings, exp.target if not whole and not own and line.kind != "question" else None),
    }


def _link(settings: Settings, target: str | None) -> str:
    """The link that brings the form back, with the item that is shown as the target."""
    return replace(settings, target=settings.target if target is None or settings.contrast else target).query()


def _panel(panel: Panel, size: tuple[int, int]) -> dict[str, Any]:
    """The maps of one method."""
    return {
        "method": panel.method,
        "how": how_of(panel.items[0]),
        "maps": _maps_of(panel.items, size),
    }


def _maps_of(items: Sequence[Explanation], size: tuple[int, int]) -> list[dict[str, Any]]:
    """Maps as the viewer draws them; each is worked out once."""
    new = [exp for exp in items if exp not in _maps]
    for exp, seen in zip(new, seen_together(new, size), strict=True):
        _maps[exp] = {**drawn(exp, size, seen), "note": exp.note}
    return [_maps[exp] for exp in items]


def why(answered: Answered, panel: int, item: int) -> dict[str, Any]:
    """The sentence of an item's units, in pieces, and the map of each unit it names.

    Raises:
        ExplainError: the model's units have no names, or the method gives them no weight.
    """
    exp, units = answered.panels[panel].items[item], answered.model.units
    if units is None:
        raise ExplainError(f"The units of {answered.model.name} have no names yet; mmcam dissect gives them some.")
    with answered.model.lock:
        told = exp.why(units)
    assert exp.activations is not None
    place = {
        name: value
        for name, value in _maps_of([exp], answered.picture.small[0])[0].items()
        if name in ("x", "y", "seen")
    }
    named = [reason for reason in told.table if reason.name]
    return {
        "pieces": pieces(told.text),
        "measure": told.measure,
        "units": [
            {
                "unit": reason.unit,
                "name": reason.told,
                "speaks": reason.speaks,
                "fit": "" if reason.fit is None else fixed(reason.fit),
                "measure": "selectivity" if reason.seen_in == "photographs" else told.measure,
                "share": f"{reason.contribution:+.2g}".replace("-", "−"),
                "map": {**place, **cells(exp.activations[reason.unit]), "peak": None, "image": None},
            }
            for reason in named
        ],
    }


def pieces(sentence: str) -> list[dict[str, Any]]:
    """A sentence cut where it names units: {"text"} and, for a number, {"text", "unit"}."""
    found: list[dict[str, Any]] = []
    at = 0
    for group in _UNITS.finditer(sentence):
        for number in re.finditer(r"\d+", group[0]):
            start = group.start() + number.start()
            found += [{"text": sentence[at:start]}, {"text": number[0], "unit": int(number[0])}]
            at = start + len(number[0])
    return [*found, {"text": sentence[at:]}]


def cells(values: Tensor) -> dict[str, Any]:
    """A unit's activations (h,w) as the viewer draws maps: a byte a cell, from 0 to the maximum."""
    top = float(values.max())
    if not top > 0:
        return {"cells": None, "shape": list(values.shape), "low": 0, "top": 0}
    levels = (values.detach().float().clamp(0, top) / top * 255).round().to(torch.uint8).cpu()
    return {
        "cells": base64.b64encode(levels.numpy().tobytes()).decode(),
        "shape": list(values.shape),
        "low": 0,
        "top": top,
    }


def exemplars(units: Dissection, unit: int) -> dict[str, Any]:
    """Where a unit is strongest in the pictures it was named by, as far as these can be had."""
    data = VignetteConcepts("val", units.pictures) if units.data.startswith("vignettes (val") else None
    if data is None or data.name != units.data:
        return {"unit": unit, "pictures": [], "told": f"Named by {units.data}, whose pictures do not ship."}
    found = patches(units, data, unit, n=6, side=96)
    return {"unit": unit, "pictures": [data_uri(one, 80) for one in found], "told": f"Strongest in {units.data}."}


def first_of(answered: Answered) -> Explanation:
    """The explanation that is shown at first."""
    return answered.panels[0].items[answered.held]
