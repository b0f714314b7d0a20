"""Several results together: a list that can be drawn, saved and shown as one figure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, Unpack, overload

from mmcam.drawing.png import png_bytes
from mmcam.drawing.saving import figure_writers, picture_writers, save_as
from mmcam.drawing.sheet import DPI, SCREEN, SIDE, Block, Sheet
from mmcam.errors import ExplainError
from mmcam.explanation import drawn
from mmcam.explanation.drawn import Look, Pen, View
from mmcam.explanation.target import Explanation
from mmcam.explanation.text import CaptionExplanation, QuestionExplanation
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.report.explained import write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = TypeVar("Result")
"""An Explanation, a CaptionExplanation or a QuestionExplanation, or a list of them."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
"""What a figure is written as."""

GLANCE = 24
"""How many results a notebook shows of a list."""


class Explanations(list[Result]):
    """Results in a list: of several pictures, several targets, or both, nested.

    It is a list and equal to one; what it can do besides is to be drawn as one figure.
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations[Result]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Result | Explanations[Result]:
        if isinstance(index, slice):
            return Explanations(super().__getitem__(index))
        return super().__getitem__(index)

    def figure(
        self,
        *,
        columns: int = 4,
        scale: str = "map",
        title: str | None = None,
        width: float | None = None,
        dpi: float = DPI,
        **look: Unpack[Look],
    ) -> Figure:
        """All of them in one figure.

        A list of explanations stands side by side, after the picture if it is the same. A list of lists is a table:
        what its rows have in common stands at their left, what its columns have in common above them. Captions and
        questions are their strips, one below the other. What is common to all stands at the top.

        Args:
            columns: how many panels stand side by side, tables apart.
            scale: "map": the last colour of each map is its own maximum (of the words of a question, their greatest).
                "list": it is the greatest value of all, for maps of one method, layer, model and kind of score. The
                legend says which it is.
            title: above; default what all have in common: caption or question, and target.
            width: at most so many inches; a journal's column has about 3.5, its page 7. Default 1.6 a panel.
            dpi: pixels an inch, which larger pictures are reduced to.
            look: ``alpha``, ``cmap``, ``box``, ``peak`` and ``threshold`` as in `Explanation.overlay`.

        Returns:
            A matplotlib Figure, made without pyplot.

        Raises:
            ExplainError: nothing to draw, or more than a figure holds; no such scale, number of columns, width or look.
        """
        from mmcam.drawing.typeset import typeset

        drawn.check_frame(columns, width, dpi)
        if scale not in ("map", "list"):
            raise ExplainError(f"scale= of a list is 'map' or 'list'; {scale!r} is neither.")
        across = _across(self, columns)
        side = SIDE if width is None else width / (across + (across + 1) / 28)
        view = View(**look)
        pen = Pen(view, round(side * dpi))
        parts = [part for one in leaves(self) for part in ([one] if isinstance(one, Explanation) else one.panels())]
        if not parts:
            raise ExplainError("There is nothing to draw: no explanation is in the list.")
        top = None
        if scale == "list":
            drawn.check_common_scale(parts)
            top = pen.top(parts)
        shared = drawn.common(parts)
        tops: list[str] = []
        blocks = list(_blocks(self, pen, shared, columns, top, tops))
        heading = drawn.heading(shared) if title is None else title
        below = drawn.legend(parts, view, tops)
        below["remarks"] += _failures(self)
        return typeset(Sheet(blocks, heading, drawn.subtitle(shared), **below), side=side, dpi=dpi)

    def html(
        self,
        path: str | os.PathLike[str],
        *,
        labels: Sequence[str] = (),
        names: Names | Dissection | None = None,
        title: str = "",
    ) -> Path:
        """Write all of them as one page that opens from disk; results of one picture stand together.

        Args:
            path: ends in ``.html``; folders are made, and a file that is there is replaced.
            labels: what stands above each result, of a nested list one after the other: names of files, true answers.
                A picture that was skipped has one, too.
            names: of the layer's units, to say why beside each map (see `Explanation.why`).
            title: of the page.

        Raises:
            ExplainError: another suffix, nothing to show, not one label a result, a place where nothing can be written,
                or names that do not fit.
        """
        every = list(flat(self))
        if labels and len(labels) != len(every):
            raise ExplainError(f"There are {len(every)} results and {len(labels)} labels; give one label a result.")
        named = zip(every, [str(label) for label in labels] or [""] * len(every), strict=True)
        lines = [one.line(label) for one, label in named if not isinstance(one, Exception)]
        return write_page(path, lines, names, title)

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the figure as ``.png``, ``.jpg``, ``.pdf`` or ``.svg``; in the last two its texts stay texts.

        The file appears whole or not at all; folders are made, and a file that is there is replaced.

        Args:
            path: its suffix says what is written.
            options: as of `figure`.

        Raises:
            ExplainError: another suffix, what `figure` refuses, or a place where nothing can be written.
        """
        from mmcam.drawing.typeset import as_picture

        writers = {
            **picture_writers(lambda: as_picture(self.figure(**options))),
            **figure_writers(lambda: self.figure(**options)),
        }
        return save_as(path, writers, "a list's figure is a .png, .jpg, .pdf or .svg")

    def _repr_png_(self) -> bytes | None:
        """The figure, of a long list its beginning; None where there is nothing to draw."""
        from mmcam.drawing.typeset import as_picture

        some, count = Explanations[Result](), 0
        for one in self:
            if count and count + _size(one) > GLANCE:
                break
            some.append(one)
            count += _size(one)
        if not count:
            return None
        title = None if len(some) == len(self) else f"The first {len(some)} of {len(self)}"
        return png_bytes(as_picture(some.figure(dpi=SCREEN, title=title)))


def leaves(results: Sequence[Any]) -> Iterator[Explanation | CaptionExplanation | QuestionExplanation]:
    """The results of a nested list, one after the other; without the errors of pictures that were skipped."""
    for one in flat(results):
        if not isinstance(one, Exception):
            yield one


def flat(results: Sequence[Any]) -> Iterator[Any]:
    """The results of a nested list, one after the other, and the errors that stand in the place of some."""
    for one in results:
        if isinstance(one, (Explanation, CaptionExplanation, QuestionExplanation, Exception)):
            yield one
        else:
            yield from flat(one)


def _failures(results: Sequence[Any]) -> Iterator[str]:
    """What is said of the pictures that could not be explained."""
    for one in results:
        if isinstance(one, Exception):
            yield f"Not explained: {one}"
        elif _kind(one) in ("row", "list"):
            yield from _failures(one)


def _drawable(results: Sequence[Any]) -> list[Any]:
    return [one for one in results if _kind(one) != "failure"]


def _size(result: Any) -> int:
    """How many panels a result has."""
    if isinstance(result, (Explanation, Exception)):
        return 1
    return len(result) if isinstance(result, (CaptionExplanation, QuestionExplanation)) else sum(map(_size, result))


def _kind(result: Any) -> str:
    """How a result is drawn: "one" beside others, a "text", a "row" of a table, a "list" of its own, or a "failure"."""
    if isinstance(result, Explanation):
        return "one"
    if isinstance(result, (CaptionExplanation, QuestionExplanation)):
        return "text"
    if isinstance(result, Exception):
        return "failure"
    return "row" if result and all(isinstance(one, Explanation) for one in result) else "list"


def _across(results: Sequence[Any], columns: int) -> int:
    """How many panels stand side by side, as far as is known before pictures are compared."""
    widest = 1
    for kind, group in groupby(_drawable(results), _kind):
        same = list(group)
        if kind == "row":
            widest = max(widest, *(1 + len(row) for row in same))
        elif kind == "list":
            widest = max(widest, *(_across(one, columns) for one in same))
        else:
            widest = max(widest, min(columns, 1 + max(len(same), *map(_size, same))))
    return widest


def _blocks(
    results: Sequence[Any], pen: Pen, shared: dict[str, str], columns: int, top: float | None, tops: list[str]
) -> Iterator[Block]:
    """The blocks of a sheet; what their last colours stand for is added to `tops`."""
    own = "each map's own maximum: compare places, not strengths"
    told = own if top is None else f"{top:.3g}, the maximum of all maps: strengths compare"
    for kind, group in groupby(_drawable(results), _kind):
        same = list(group)
        if kind == "text":
            for text in same:
                block, its = text.block(pen, columns, top=top)
                block = replace(block, subtitle=drawn.block_subtitle(text.panels(), shared))
                tops.append(its if top is None else told)
                yield block
        elif kind == "list":
            for one in same:
                yield from _blocks(one, pen, shared, columns, top, tops)
        else:
            tops.append(told)
            yield (
                drawn.flat_block(pen, same, shared, columns, top)
                if kind == "one"
                else drawn.grid_block(pen, same, shared, top)
            )
