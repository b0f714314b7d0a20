"""Several results together: a list that can be drawn, saved and shown as one figure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, overload

from PIL import Image

from mmcam.drawing.png import png_bytes
from mmcam.drawing.strip import draw_strip, stack
from mmcam.errors import ExplainError
from mmcam.explanation.saving import picture_writers, save_as
from mmcam.explanation.target import Explanation
from mmcam.explanation.text import CaptionExplanation, QuestionExplanation
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.report.explained import write_page

Result = TypeVar("Result")
"""An Explanation, a CaptionExplanation or a QuestionExplanation, or a list of them."""


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

    def figure(self) -> Any:
        """All of them as a matplotlib Figure."""
        from matplotlib.figure import Figure

        picture = self._picture()
        figure = Figure(figsize=(picture.width / 100, picture.height / 100), dpi=100)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.imshow(picture)
        axis.axis("off")
        return figure

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure as ``.png``, ``.jpg`` or ``.pdf``; the file appears whole or not at all.

        Raises:
            ExplainError: another suffix, nothing to draw, or a place where nothing can be written.
        """
        return save_as(path, picture_writers(self._picture), "a list's figure is a .png, .jpg or .pdf")

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
            names: of the layer's units, to say why beside each map (see `Explanation.why`).
            title: of the page.

        Raises:
            ExplainError: another suffix, nothing to show, not one label a result, a place where nothing can be written,
                or names that do not fit.
        """
        every = list(leaves(self))
        if labels and len(labels) != len(every):
            raise ExplainError(f"There are {len(every)} results and {len(labels)} labels; give one label a result.")
        labels = [str(label) for label in labels] or [""] * len(every)
        return write_page(path, [one.line(label) for one, label in zip(every, labels, strict=True)], names, title)

    def _picture(self) -> Image.Image:
        rows: list[Image.Image] = []
        loose: list[Explanation] = []
        for one in leaves(self):
            if isinstance(one, Explanation):
                loose.append(one)
            else:
                rows.append(one.strip())
        if loose:
            rows.append(draw_strip([(e.overlay(), e.target) for e in loose], [f"{e.score:.2f}" for e in loose]))
        if not rows:
            raise ExplainError("There is no explanation in the list, so there is nothing to draw.")
        return stack(rows)

    def _repr_png_(self) -> bytes:
        return png_bytes(self._picture())


def leaves(results: Sequence[Any]) -> Iterator[Explanation | CaptionExplanation | QuestionExplanation]:
    """The results of a nested list, one after the other."""
    for one in results:
        if isinstance(one, (Explanation, CaptionExplanation, QuestionExplanation)):
            yield one
        else:
            yield from leaves(one)
