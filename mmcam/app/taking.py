"""What may be taken away: pictures, figures, data and pages of what was explained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mmcam import ExplainError, Explanation
from mmcam.app.asking import Answered
from mmcam.app.code import python
from mmcam.explanation import Explanations
from mmcam.files import json_text

KINDS = {
    "png": "image/png",
    "pdf": "application/pdf",
    "npz": "application/octet-stream",
    "json": "application/json",
    "html": "text/html; charset=utf-8",
}
"""Of files, and what browsers call them."""


def taken(answered: Answered, kind: str, item: int | None = None, panel: int = 0) -> bytes:
    """A file.

    Args:
        answered: what was explained.
        kind: one of `KINDS`.
        item: of a map; None for the whole text, or all classes.
        panel: of the method, where there are two; a picture or figure has both.

    Raises:
        ExplainError: there is no such kind, map or method.
    """
    if kind not in KINDS:
        raise ExplainError(f"There is no file of that kind; there are {', '.join(KINDS)}.")
    if not 0 <= panel < len(answered.panels) or (item is not None and not 0 <= item < len(answered.panels[0].items)):
        raise ExplainError("There is no such map; ask again.")
    if kind == "json":
        return json_text(_told(answered), indent=2).encode("utf-8", "backslashreplace")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"it.{kind}"
        if kind == "npz":
            _result(answered, item, panel, alone=True).save(path)
        elif kind == "html":
            _page(answered, path)
        else:
            _figure(answered, item, path)
        return path.read_bytes()


def _result(answered: Answered, item: int | None, panel: int, alone: bool = False) -> Any:
    """An explanation, or all that one method said."""
    one = answered.panels[panel]
    if item is not None:
        return one.items[item]
    if isinstance(one.said, tuple):
        return one.items[0] if alone else Explanations(one.items)
    return one.said


def _figure(answered: Answered, item: int | None, path: Path) -> None:
    """The map over the picture; of several methods, their maps side by side."""
    each = [_result(answered, item, panel) for panel in range(len(answered.panels))]
    whole: Any = each[0] if len(each) == 1 else Explanations(each)
    if isinstance(whole, Explanation) and path.suffix == ".pdf":
        whole.figure().savefig(path)
    else:
        whole.save(path)


def _page(answered: Answered, path: Path) -> None:
    """A page that opens from disk, on which words light up their maps."""
    results: list[Any] = []
    labels: list[str] = []
    for panel in answered.panels:
        own: list[Any] = list(panel.said) if isinstance(panel.said, tuple) else [panel.said]
        own += [panel.more] if panel.more is not None else []
        results += own
        labels += [panel.method] * len(own)
    fits = answered.model.units is not None and all(_named(answered, exp) for p in answered.panels for exp in p.items)
    Explanations(results).html(
        path, labels=labels if len(answered.panels) > 1 else [], names=answered.model.units if fits else None
    )


def _named(answered: Answered, exp: Explanation) -> bool:
    """Whether the names of the model's units are of the layer that was explained."""
    units = answered.model.units
    if units is None or exp.weights is None or exp.origin is None:
        return False
    return exp.origin.fingerprint in (units.fingerprint, *units.casts) and not exp.options.get("absolute")


def _told(answered: Answered) -> dict[str, Any]:
    """Everything but the arrays."""
    settings = answered.settings
    return {
        "picture": answered.picture.told,
        "credit": answered.picture.credit,
        "model": settings.model,
        "link": f"?{settings.query()}",
        "python": python(answered, answered.held),
        "explanations": [
            {"method": panel.method, "maps": [exp.summary() for exp in panel.items]} for panel in answered.panels
        ],
    }
