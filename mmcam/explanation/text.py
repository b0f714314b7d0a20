"""A text: one Explanation for each of its words, and one for all together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, Unpack, overload

import numpy as np
from PIL import Image

from mmcam.drawing.png import png_bytes
from mmcam.drawing.saving import figure_writers, picture_writers, save_as
from mmcam.drawing.sheet import DPI, SCREEN, SIDE, Block, Sheet, in_rows
from mmcam.errors import ExplainError
from mmcam.explanation import drawn
from mmcam.explanation.drawn import Look, Pen, View
from mmcam.explanation.npz import packed
from mmcam.explanation.target import Explanation
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.neurons.narration import Why
from mmcam.report.explained import write_page
from mmcam.report.shown import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Words(Sequence[Explanation]):
    """A text, one Explanation for each of its words, and one for all together."""

    words: tuple[Explanation, ...]
    _kind: ClassVar[Literal["caption", "question"]]
    """What all words together are, as `scale=` names it."""
    _scale: ClassVar[str]
    """The scale that is used if none is named."""

    @property
    def text(self) -> str:
        """The words as they stand."""
        raise NotImplementedError

    @property
    def all(self) -> Explanation:
        """The Explanation of all words together."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Explanation]: ...
    def __getitem__(self, index: int | slice) -> Explanation | Sequence[Explanation]:
        return self.words[index]

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.words)

    def why(self, names: Names | Dissection, **options: Any) -> list[Why]:
        """Each word's explanation in words (see `Explanation.why`)."""
        return [exp.why(names, **options) for exp in self.words]

    def figure(
        self,
        *,
        columns: int = 4,
        scale: str | None = None,
        title: str | None = None,
        width: float | None = None,
        dpi: float = DPI,
        **look: Unpack[Look],
    ) -> Figure:
        """The picture and one overlay per word, with the word and its score below, in reading order.

        Args:
            columns: how many panels stand side by side.
            scale: "word": each word's last colour is its own maximum, so that every word shows where it looked.
                "caption" (of a question "question"): the last colour is the greatest value of all words, so that weak
                maps look weak; an answer's map has its own. By default a caption has its words' own scales: a word that
                is said with certainty has a log-probability near 0 and hardly a gradient, and would be blank. The words
                of a question share theirs: a score there is what the answer loses without the word, and a word that
                matters nothing shall look so. The legend says which it is.
            title: above; default the caption or question.
            width: at most so many inches; default 1.6 a panel.
            dpi: pixels an inch, which larger pictures are reduced to.
            look: ``alpha``, ``cmap``, ``box``, ``peak`` and ``threshold`` as in `Explanation.overlay`.

        Returns:
            A matplotlib Figure, made without pyplot.

        Raises:
            ExplainError: no such scale, number of columns, width or look.
        """
        from mmcam.drawing.typeset import typeset

        drawn.check_frame(columns, width, dpi)
        panels = min(columns, 1 + len(self.panels()))
        side = SIDE if width is None else width / (panels + (panels + 1) / 28)
        view = View(**look)
        pen = Pen(view, round(side * dpi))
        block, top = self.block(pen, columns, scale)
        parts = self.panels()
        return typeset(
            Sheet(
                [replace(block, heading="")],
                heading=block.heading if title is None else title,
                subtitle=drawn.subtitle(drawn.common(parts)),
                **drawn.legend(parts, view, [top]),
            ),
            side=side,
            dpi=dpi,
        )

    def block(self, pen: Pen, columns: int, scale: str | None = None, top: float | None = None) -> tuple[Block, str]:
        """The panels under the text, and what the last colour stands for; arguments as in `figure`.

        Args:
            pen: draws them.
            columns, scale: as in `figure`.
            top: the value of the last colour, where others share it.
        """
        scale = self._scale if scale is None else scale
        if scale not in ("word", self._kind):
            raise ExplainError(f"scale= of a {self._kind} is 'word' or '{self._kind}'; {scale!r} is neither.")
        parts = self.panels()
        tops = [top] * len(parts)
        own = "each word's own maximum: compare places, not strengths"
        if top is None and scale != "word":
            top = pen.top(self.words)
            tops = [top] * len(self.words) + [None] * (len(parts) - len(self.words))  # the answer has its own
            own = f"{top:.3g}, the maximum over the {self._kind}'s words: their strengths compare"
        panels = [pen.picture(self.all.image)]
        panels += [pen.panel(exp, exp.target, each) for exp, each in zip(parts, tops, strict=True)]
        return Block(in_rows(panels, columns), self.text), own

    def strip(self, columns: int = 6, *, scale: str | None = None, **look: Unpack[Look]) -> Image.Image:
        """The figure as a picture for the screen, 224 pixels a panel; arguments as in `figure`."""
        from mmcam.drawing.typeset import as_picture

        return as_picture(self.figure(columns=columns, scale=scale, dpi=SCREEN, **look))

    def panels(self) -> tuple[Explanation, ...]:
        """What is drawn, in reading order."""
        return self.words

    def show(self) -> None:
        """Draw the strip with matplotlib."""
        from matplotlib import pyplot as plt

        strip = self.strip()
        figure = plt.figure(figsize=(strip.width / 100, strip.height / 100))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.imshow(strip)
        axis.axis("off")
        plt.show()

    def save(self, path: str | os.PathLike[str], *, scale: str | None = None, **look: Unpack[Look]) -> Path:
        """Write the strip (``.png``, ``.jpg``), the figure (``.pdf``, ``.svg``) or the data (``.npz``) of all words.

        The file appears whole or not at all; folders are made, and a file that is there is replaced. The figure's texts
        stay texts, and `mmcam.load_explanation` gives the text back from its ``.npz``.

        Args:
            path: its suffix says what is written.
            scale, look: as in `figure`.

        Raises:
            ExplainError: another suffix, no such scale or look, or a place where nothing can be written.
        """
        writers = {
            **picture_writers(lambda: self.strip(scale=scale, **look)),
            **figure_writers(lambda: self.figure(scale=scale, **look)),
            ".npz": self._write_data,
        }
        return save_as(path, writers, "use .png, .jpg, .pdf or .svg for the strip or .npz for the data")

    def html(self, path: str | os.PathLike[str], *, names: Names | Dissection | None = None, title: str = "") -> Path:
        """Write a page that opens from disk: words light up their maps when pointed at, touched or gone to by keys.

        Args:
            path: ends in ``.html``; folders are made, and a file that is there is replaced.
            names: of the layer's units, to say why beside each map (see `Explanation.why`).
            title: of the page; default the text.

        Raises:
            ExplainError: another suffix, a place where nothing can be written, or names that do not fit.
        """
        return write_page(path, [self.line()], names, title)

    def line(self, name: str = "") -> Line:
        """What a page says of it, under a name."""
        return Line(self._kind, self.words, self.all, name)

    def _write_data(self, file: IO[bytes]) -> None:
        arrays: dict[str, Any] = packed(self._kind, {self._kind: self.text}, [*self.words, self.all])
        np.savez_compressed(file, **arrays)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.strip())

    def __repr__(self) -> str:
        words = ", ".join(f"{exp.target} {exp.score:.2f}" for exp in self.words)
        return f"{type(self).__name__}({self.text!r}: {words})"


@dataclass(frozen=True, eq=False, repr=False)
class CaptionExplanation(_Words):
    """A caption and one Explanation for each of its words.

    Attributes:
        caption: the whole sentence.
        words: one Explanation a word, in order.
        whole: the Explanation of the sum of all words' log-probabilities, the end token left out.
    """

    _kind: ClassVar[Literal["caption", "question"]] = "caption"
    caption: str
    words: tuple[Explanation, ...]
    whole: Explanation

    _scale: ClassVar[str] = "word"

    @property
    def text(self) -> str:
        """The caption."""
        return self.caption

    @property
    def all(self) -> Explanation:
        """The Explanation of the whole caption."""
        return self.whole

    def summary(self) -> dict[str, object]:
        """Caption and words without their arrays, ready for JSON."""
        return {
            "caption": self.caption,
            "score": self.whole.score,
            "words": [exp.summary() for exp in self.words],
        }


@dataclass(frozen=True, eq=False, repr=False)
class QuestionExplanation(_Words):
    """An answer to a question, and one Explanation for each word of the question.

    Attributes:
        question: as it was asked.
        words: one Explanation a word, in order: what the answer's score loses without the word, and where in the
            picture that comes from.
        answer: the Explanation of the answer.
    """

    _kind: ClassVar[Literal["caption", "question"]] = "question"
    question: str
    words: tuple[Explanation, ...]
    answer: Explanation

    _scale: ClassVar[str] = "question"

    @property
    def text(self) -> str:
        """The question."""
        return self.question

    @property
    def all(self) -> Explanation:
        """The Explanation of the answer."""
        return self.answer

    def panels(self) -> tuple[Explanation, ...]:
        """The words, and last the answer."""
        return (*self.words, replace(self.answer, target=f"answer: {self.answer.target}"))

    def summary(self) -> dict[str, object]:
        """Question, answer and words without their arrays, ready for JSON."""
        return {
            "question": self.question,
            **self.answer.summary(),
            "words": [exp.summary() for exp in self.words],
        }
