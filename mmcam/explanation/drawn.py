"""From results to a sheet: panels of one size, titles from what differs between them, and a legend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.drawing.overlay import (
    ALPHA,
    COLOUR_MAP,
    check_look,
    draw_overlay,
    draw_signed,
    mute_outside,
    outline,
    signed_top,
)
from mmcam.drawing.sheet import Bar, Block, Key, Panel, fit, fitted_size, in_rows
from mmcam.errors import ExplainError
from mmcam.explanation.segments import SHARE, check_share

if TYPE_CHECKING:
    from mmcam.explanation.target import Explanation

SCORES = {
    "log_prob": "log-probability",
    "prob": "probability",
    "entropy": "entropy in nats",
    "q": "Q-value",
    "action": "logit of the action",
}
"""What scores are called in figures, where they have a better name than their own."""


class Look(TypedDict, total=False):
    """How maps are drawn, as keywords (see `Explanation.overlay`)."""

    alpha: float
    cmap: str
    box: bool
    peak: bool
    threshold: float


@dataclass(frozen=True)
class View:
    """How maps are drawn.

    Attributes:
        alpha: opacity where a map is greatest.
        cmap: a matplotlib colour map.
        box: draw the box of the largest segment.
        peak: draw a cross at the maximum.
        threshold: of the box.

    Raises:
        ExplainError: alpha or threshold outside 0..1, or a colour map matplotlib does not know.
    """

    alpha: float = ALPHA
    cmap: str = COLOUR_MAP
    box: bool = False
    peak: bool = False
    threshold: float = SHARE

    def __post_init__(self) -> None:
        check_look(self.alpha, self.cmap)
        check_share(self.threshold)


class Pen:
    """Draws explanations as panels whose longer side has at most so many pixels.

    Maps are sampled at that size, so a sheet of a large photograph costs no more than one of a small one.
    """

    def __init__(self, view: View, pixels: int) -> None:
        self.view, self.pixels = view, pixels
        self._small: dict[int, tuple[Image.Image, Image.Image]] = {}  # by id, with what keeps the id alive

    def picture(self, image: Image.Image) -> Panel:
        """A picture without a map."""
        if id(image) not in self._small:
            self._small[id(image)] = image, fit(image, self.pixels)
        return Panel(self._small[id(image)][1], size=image.size)

    def values(self, exp: Explanation) -> NDArray[np.float32]:
        """The map (h,w), or of pixels (C,h,w), at the size of the panel."""
        size, geometry = exp.image.size, exp.geometry
        if max(size) > self.pixels:
            geometry = geometry.resized(*fitted_size(size, self.pixels)[::-1])
        return geometry.to_original(exp.values).cpu().numpy()

    def top(self, explanations: Iterable[Explanation]) -> float:
        """The greatest value of all maps, as `panel` takes it; 0 where none is finite and positive."""
        tops = [_top(self.values(exp)) for exp in explanations]
        return max((top for top in tops if math.isfinite(top)), default=0.0)

    def panel(self, exp: Explanation, title: str, top: float | None = None, scored: bool = True) -> Panel:
        """An explanation's overlay, with its score as the note.

        Args:
            exp: what is drawn.
            title: below it.
            top: the value of the last colour; default the map's own maximum.
            scored: whether the score is told.
        """
        values, view = self.values(exp), self.view
        background = self.picture(exp.image).picture
        if values.ndim == 3:
            drawn = draw_signed(values, top=top or None)
        else:
            drawn = draw_overlay(background, values, alpha=view.alpha, cmap=view.cmap, top=top)
        height, width = values.shape[-2:]
        shown = exp.geometry if exp.image.size == (width, height) else exp.geometry.resized(height, width)
        drawn = mute_outside(drawn, shown.shown())
        if exp.region is not None:
            drawn = outline(drawn, exp.region.mask(*exp.image.size))
        note = " · ".join([told(exp.score)] * scored + ["empty"] * exp.empty)
        return Panel(
            drawn,
            title,
            note,
            exp.image.size,
            exp.box(view.threshold) if view.box else None,
            exp.peak() if view.peak else None,
        )


def _top(values: NDArray[np.float32]) -> float:
    return signed_top(values) if values.ndim == 3 else float(values.max(initial=0))


def told(number: float) -> str:
    """A number as figures have it: two decimals, and no "-0.00"."""
    return f"{round(number, 2) + 0.0:.2f}"


def facts(exp: Explanation) -> dict[str, str]:
    """What tells an explanation from others, in the order in which it is told."""
    options = ", ".join(f"{name}={_short(value)}" for name, value in exp.options.items())
    return {
        "context": exp.context,
        "target": exp.target,
        "method": exp.method + (f" ({options})" if options else ""),
        "layer": exp.layer,
        "model": exp.model,
        "score": SCORES.get(exp.scored, exp.scored),
    }


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def common(explanations: Sequence[Explanation]) -> dict[str, str]:
    """The facts that all of them share."""
    each = [facts(exp) for exp in explanations]
    return {name: fact for name, fact in each[0].items() if all(other[name] == fact for other in each)}


def subtitle(shared: Mapping[str, str]) -> str:
    """Method, layer, model and score as a line, as far as they are shared."""
    method, layer, model, score = (shared.get(name, "") for name in ("method", "layer", "model", "score"))
    where = " ".join(filter(None, (layer and f"at {layer}", model and f"of {model}")))
    return " · ".join(filter(None, (" ".join(filter(None, (method, where))), score and f"score: {score}")))


def heading(shared: Mapping[str, str]) -> str:
    """Caption or question, and the target, as far as they are shared."""
    return " — ".join(filter(None, (shared.get("context", ""), shared.get("target", ""))))


def flat_block(
    pen: Pen, explanations: Sequence[Explanation], shared: Mapping[str, str], columns: int, top: float | None
) -> Block:
    """Explanations one after the other, each titled by what it does not share; first the picture, if it is one."""
    above, shared = _block_titles(explanations, shared)
    panels = [pen.panel(exp, " · ".join(_own(exp, shared).values()), top) for exp in explanations]
    if one_picture(explanations):
        panels.insert(0, pen.picture(explanations[0].image))
    return Block(in_rows(panels, columns), *above)


def grid_block(pen: Pen, rows: Sequence[Sequence[Explanation]], shared: Mapping[str, str], top: float | None) -> Block:
    """Rows of explanations; what a row or a column has in common stands beside or above it."""
    above, shared = _block_titles([exp for row in rows for exp in row], shared)
    own = [[_own(exp, shared) for exp in row] for row in rows]
    of_rows = [_agreed(row) for row in own]
    of_columns = [_agreed([row[c] for row in own if c < len(row)]) for c in range(max(map(len, own)))]
    beside = set.intersection(*map(set, of_rows))
    over = set.intersection(*map(set, of_columns)) - beside
    # A score is the target's, whatever the method: it is told once beside the row.
    scores = [{told(exp.score) for exp in row} for row in rows]
    once = "target" in beside and all(len(each) == 1 for each in scores)
    panels: list[list[Panel | None]] = []
    for row, row_facts in zip(rows, own, strict=True):
        titles = [_joined(its, its.keys() - beside - over) for its in row_facts]
        panels.append([pen.panel(exp, title, top, not once) for exp, title in zip(row, titles, strict=True)])
    row_titles = [_joined(agreed, beside) for agreed in of_rows]
    if once:
        row_titles = [f"{title} · {score}" for title, (score,) in zip(row_titles, scores, strict=True)]
    column_titles = [_joined(agreed, over) for agreed in of_columns]
    if all(map(one_picture, rows)):
        panels = [[pen.picture(row[0].image), *drawn] for row, drawn in zip(rows, panels, strict=True)]
        column_titles.insert(0, "")
    return Block(panels, *above, row_titles, column_titles)


def block_subtitle(explanations: Sequence[Explanation], shared: Mapping[str, str]) -> str:
    """What is shared in a block and not in the whole sheet, as `subtitle`."""
    return _block_titles(explanations, shared)[0][1]


def _block_titles(
    explanations: Sequence[Explanation], shared: Mapping[str, str]
) -> tuple[tuple[str, str], Mapping[str, str]]:
    """Heading and subtitle of a block, of what is shared in it and not in the whole sheet; and all it shares."""
    own = common(explanations)
    more = {name: fact for name, fact in own.items() if name not in shared}
    return (heading(more), subtitle(more)), own


def _own(exp: Explanation, shared: Mapping[str, str]) -> dict[str, str]:
    """The facts of an explanation that not all share."""
    return {name: fact for name, fact in facts(exp).items() if name not in shared and fact}


def _agreed(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts that are the same in all."""
    first: Mapping[str, str] = several[0] if several else {}
    return {name: fact for name, fact in first.items() if all(other.get(name) == fact for other in several)}


def _joined(agreed: Mapping[str, str], names: Set[str]) -> str:
    return " · ".join(fact for name, fact in agreed.items() if name in names)


def one_picture(explanations: Sequence[Explanation]) -> bool:
    """Whether all are of the same picture."""
    first = explanations[0].image
    return all(exp.image is first or exp.image == first for exp in explanations)


def legend(explanations: Sequence[Explanation], view: View, tops: Iterable[str]) -> dict[str, Any]:
    """Bars, keys and remarks of a sheet, as `Sheet` takes them.

    Args:
        explanations: all that are drawn.
        view: how.
        tops: what the last colour stands for.
    """
    keys: list[tuple[Key, str]] = []
    if any(exp.values.ndim == 3 for exp in explanations):
        keys.append(("signed", "lowers … raises the score, by colour channel"))
    if view.box and any(exp.box(view.threshold) for exp in explanations):
        keys.append(("box", f"box of the largest part with {view.threshold:.0%} of the maximum or more"))
    if view.peak and any(exp.peak() for exp in explanations):
        keys.append(("peak", "maximum"))
    if any(exp.geometry.shown() != (0, 0, *exp.image.size) for exp in explanations):
        keys.append(("outside", "not shown to the model"))
    coloured = any(exp.values.ndim == 2 for exp in explanations)
    bars = [Bar(top, view.cmap, view.alpha) for top in dict.fromkeys(tops)] if coloured else []
    remarks = [exp.note for exp in explanations if exp.note]
    if view.box and view.peak:
        remarks += [
            f"The maximum of {exp.target!r} lies outside the box, which holds the largest part."
            for exp in explanations
            if exp.peak_in_box(view.threshold) is False
        ]
    inputs = dict.fromkeys(exp.preparation for exp in explanations if exp.preparation)
    remarks += [f"Input: {'; or '.join(inputs)}."] if inputs else []
    return {"bars": bars, "keys": keys, "remarks": list(dict.fromkeys(remarks))}


def check_common_scale(explanations: Sequence[Explanation]) -> None:
    """Raise ExplainError where maps are of different kinds, so that no value means the same in all."""
    shared = common(explanations)
    if differing := [name for name in ("method", "layer", "model", "score") if name not in shared]:
        raise ExplainError(
            f"These maps differ in {' and '.join(differing)}, so they have no scale in common; leave scale= out."
        )


def check_frame(columns: int, width: float | None, dpi: float) -> None:
    """Raise ExplainError for no number of columns, inches or pixels."""
    if isinstance(columns, bool) or not isinstance(columns, (int, np.integer)) or columns < 1:
        raise ExplainError(f"columns= is how many panels stand side by side, 1 or more; {columns!r} is not.")
    for name, value in (("width", width), ("dpi", dpi)):
        if value is None and name == "width":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
            raise ExplainError(f"{name}= is a positive number; {value!r} is not.")
