"""A text: one Explanation for each of its words, and one for all together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, overload

import numpy as np
from PIL import Image

from mmcam.drawing.png import png_bytes
from mmcam.drawing.strip import draw_strip
from mmcam.explanation.npz import packed
from mmcam.explanation.saving import picture_writers, save_as
from mmcam.explanation.target import Explanation
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.neurons.narration import Why
from mmcam.report.explained import write_page
from mmcam.report.shown import Line


class _Words(Sequence[Explanation]):
    """A text, one Explanation for each of its words, and one for all together."""

    words: tuple[Explanation, ...]
    _kind: ClassVar[Literal["caption", "question"]]

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

    def strip(self, columns: int = 6) -> Image.Image:
        """The picture and one overlay per word, with the word and its score below, in reading order."""
        panels = chain([(self.all.image, "")], ((exp.overlay(), exp.target) for exp in self._panels()))
        notes = ["", *(f"{round(exp.score, 2) + 0.0:.2f}" for exp in self._panels())]  # + 0.0: no "-0.00"
        return draw_strip(panels, notes, columns=columns)

    def _panels(self) -> tuple[Explanation, ...]:
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

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the strip (``.png``, ``.jpg``, ``.pdf``) or the data of all its words (``.npz``), whole or not at all.

        `mmcam.load_explanation` gives the text back from its ``.npz``. Folders are made, and a file that is there is
        replaced.

        Raises:
            ExplainError: another suffix, or a place where nothing can be written.
        """
        writers = {**picture_writers(self.strip), ".npz": self._write_data}
        return save_as(path, writers, "use .png, .jpg or .pdf for the strip or .npz for the data")

    def html(
        self, path: str | os.PathLike[str], *, names: Names | Dissection | None = None, title: str = ""
    ) -> Path:
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
        arrays = packed(self._kind, {self._kind: self.text}, [*self.words, self.all])
        np.savez_compressed(file, allow_pickle=False, **arrays)

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

    @property
    def text(self) -> str:
        """The question."""
        return self.question

    @property
    def all(self) -> Explanation:
        """The Explanation of the answer."""
        return self.answer

    def _panels(self) -> tuple[Explanation, ...]:
        return (*self.words, replace(self.answer, target=f"answer: {self.answer.target}"))

    def summary(self) -> dict[str, object]:
        """Question, answer and words without their arrays, ready for JSON."""
        return {
            "question": self.question,
            **self.answer.summary(),
            "words": [exp.summary() for exp in self.words],
        }
