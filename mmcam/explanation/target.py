"""One target: its map with everything needed to read, check, draw and keep it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.drawing.overlay import ALPHA, COLOUR_MAP, Box, draw_overlay, draw_signed, mark, mute_outside, outline
from mmcam.drawing.png import png_bytes
from mmcam.drawing.saving import figure_writers, picture_writers, save_as
from mmcam.drawing.sheet import DPI, Block, Sheet
from mmcam.explanation import drawn, segments
from mmcam.explanation.drawn import Look, Pen, View
from mmcam.explanation.npz import packed
from mmcam.image import Geometry
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.fingerprint import Origin
from mmcam.neurons.names import Names
from mmcam.neurons.narration import Why, narrate
from mmcam.report.explained import write_page
from mmcam.report.shown import Line
from mmcam.tasks.prediction import Prediction
from mmcam.tasks.region import Candidate, Region
from mmcam.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which part of a picture spoke for one target.

    Attributes:
        target: what was explained, in words: a class, a word of a caption, an answer, or a contrast of two.
        score: the target's value: a logit, a log-probability, a difference.
        values: the method's map, un-normalised, on the model's device: a cam (h,w), or a pixel map (C,H,W).
        weights: α (K), one per channel of the layer, on the model's device; None where the method has none.
        layer: where activations were read.
        method: the name of the method.
        model: the class name of the model.
        image: the picture as it was opened, RGB, upright.
        geometry: how it lies in the model's input.
        context: what the target belongs to: the caption of a word, the question of an answer; "" for a class.
        note: a sentence about this map a reader should know, e.g. why it is empty; "" if there is none.
        options: of the method, as they were given.
        claim: what the model did, as the beginning of a sentence: "It says “dog”".
        sense: 1 if positive weights speak for the claim, -1 if they speak against it, as counterfactual ones do.
        activations: A (K,h,w), what the weights weigh, on the model's device; None where the method has no weights.
        origin: which weights of the model the activations were computed with; None where there is no one layer.
        scored: what the score is: "logit", "log_prob", "similarity" …; "" where it is a function of the user's.
        cells: how it is known where the layer's cells lie in the picture: "convolutional" (no operation before it moves
            them), "declared" by the model, or "measured"; "" for pixels and attention.
        prediction: of a classifier, the class that is explained with its probability, and the five best; else None.
        preparation: how the model's input was made of the picture, in words; "" where that is not known.
        region: where in the picture the target is, which drawings outline; None where it is the whole picture's.
        candidate: of a model with many answers for a picture, as a detector's boxes, which was explained; else None.
        version: of mmcam.
    """

    target: str
    score: float
    values: Tensor
    weights: Tensor | None
    layer: str
    method: str
    model: str
    image: Image.Image
    geometry: Geometry
    context: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""
    sense: int = 1
    activations: Tensor | None = None
    origin: Origin | None = None
    scored: str = ""
    cells: str = ""
    prediction: Prediction | None = None
    preparation: str = ""
    region: Region | None = None
    candidate: Candidate | None = None
    version: str = field(default=__version__)

    @property
    def cam(self) -> Tensor:
        """The map (h,w) at its own resolution; of a pixel map, the largest magnitude over the channels."""
        return self.values if self.values.ndim == 2 else self.values.abs().amax(0)

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """The map over the original picture: float32 (H,W), un-normalised; 0 where the model saw nothing."""
        return self.geometry.to_original(self.cam).cpu().numpy()

    @property
    def empty(self) -> bool:
        """The map is positive nowhere in the picture, or not finite, so it points nowhere; `note` says why."""
        return not 0 < float(self.heatmap.max()) < math.inf

    @cached_property
    def _strength(self) -> NDArray[np.float32]:
        """What masks, boxes and the peak are read from (H,W): the heatmap, of a pixel map smoothed."""
        if self.values.ndim == 2:
            return self.heatmap
        return self.geometry.to_original(segments.smoothed(self.cam)).cpu().numpy()

    def mask(self, threshold: float = segments.SHARE) -> NDArray[np.bool_]:
        """Where the map is at least a share of its maximum, in what the model was shown.

        A pixel map is smoothed first (see `mmcam.explanation.segments.smoothed`), else single pixels would be found.

        Returns:
            bool (H,W), over the original picture; False everywhere for an empty map.

        Raises:
            ExplainError: a threshold that is no share.
        """
        share = segments.check_share(threshold)
        mask = np.zeros(self.heatmap.shape, bool)
        if not self.empty:
            left, top, right, bottom = self.geometry.shown()
            part = segments.above(self._strength, share)
            mask[top:bottom, left:right] = part[top:bottom, left:right]
        return mask

    def boxes(self, threshold: float = segments.SHARE) -> list[Box]:
        """The boxes of all connected segments of `mask`, those of more pixels first.

        Returns:
            (left, top, right, bottom) in pixels of the original picture, right and bottom exclusive as in Pillow; none
            for an empty map. Segments connect over the eight neighbours.

        Raises:
            ExplainError: a threshold that is no share.
        """
        return segments.boxes_of(self.mask(threshold))

    def box(self, threshold: float = segments.SHARE) -> Box | None:
        """The box of the largest segment above a share of the maximum (the Grad-CAM paper's 15 %).

        The peak may lie in another, smaller segment; `peak_in_box` says so, and `boxes` gives all.

        Returns:
            As `boxes`; None for an empty map.

        Raises:
            ExplainError: a threshold that is no share.
        """
        return next(iter(self.boxes(threshold)), None)

    def peak(self) -> tuple[int, int] | None:
        """(x, y) of the maximum in the original picture, of a pixel map once it is smoothed as in `mask`.

        None for an empty map, or one that is the same everywhere.
        """
        if self.empty or self._strength.min() == self._strength.max():
            return None
        y, x = np.unravel_index(int(np.argmax(self._strength)), self._strength.shape)
        return int(x), int(y)

    def peak_in_box(self, threshold: float = segments.SHARE) -> bool | None:
        """Whether the peak lies in `box`; None where there is none."""
        box, peak = self.box(threshold), self.peak()
        if box is None or peak is None:
            return None
        return box[0] <= peak[0] < box[2] and box[1] <= peak[1] < box[3]

    def overlay(
        self,
        alpha: float = ALPHA,
        cmap: str = COLOUR_MAP,
        *,
        box: bool = False,
        peak: bool = False,
        threshold: float = segments.SHARE,
    ) -> Image.Image:
        """The map over the picture, at the picture's own size.

        What a crop never showed to the model is hatched, and a region that was asked about is outlined.

        Args:
            alpha: opacity (0..1) where the map is at its maximum; it fades with the map. Pixel maps are drawn alone,
                as a signed picture on grey.
            cmap: a matplotlib colour map.
            box: draw the box of the largest segment.
            peak: draw a cross at the maximum.
            threshold: of the box.

        Raises:
            ExplainError: alpha or threshold outside 0..1, or a colour map matplotlib does not know.
        """
        View(alpha, cmap, box, peak, threshold)
        if self.values.ndim == 3:
            picture = draw_signed(self.geometry.to_original(self.values).cpu().numpy())
        else:
            picture = draw_overlay(self.image, self.heatmap, alpha=alpha, cmap=cmap)
        picture = mute_outside(picture, self.geometry.shown())
        if self.region is not None:
            picture = outline(picture, self.region.mask(*self.image.size))
        return mark(picture, self.box(threshold) if box else None, self.peak() if peak else None)

    def figure(
        self, *, title: str | None = None, width: float | None = None, dpi: float = DPI, **look: Unpack[Look]
    ) -> Figure:
        """Picture and overlay side by side, with caption or question, score, method, layer and a colour bar.

        Args:
            title: above; default the caption or question.
            width: at most so many inches; a journal's column has about 3.5. Default 2.4 for each of the two.
            dpi: pixels an inch, which larger pictures are reduced to.
            look: ``alpha``, ``cmap``, ``box``, ``peak`` and ``threshold`` as in `overlay`.

        Returns:
            A matplotlib Figure, made without pyplot. ``save("x.pdf")`` writes it with texts that stay texts.

        Raises:
            ExplainError: as `overlay`, or no such width or dpi.
        """
        from mmcam.drawing.typeset import typeset

        drawn.check_frame(2, width, dpi)
        side, view = (2.4 if width is None else width * 28 / 59), View(**look)
        pen, shared = Pen(view, round(side * dpi)), drawn.facts(self)
        top = pen.top([self])
        panels = [pen.picture(self.image), pen.panel(self, self.target, top)]
        return typeset(
            Sheet(
                [Block([panels])],
                heading=self.context if title is None else title,
                subtitle=drawn.subtitle(shared),
                **drawn.legend([self], view, [f"{top:.3g}, the maximum of the map"] if top > 0 else []),
            ),
            side=side,
            dpi=dpi,
        )

    def why(self, names: Names | Dissection, **options: Any) -> Why:
        """The explanation in words: which named units spoke for the target, and which against.

        Args:
            names: of the layer's units, e.g. from `mmcam.dissect`; they are refused if they belong to other weights.
            options: ``k=``, ``by=`` and ``threshold=`` of `mmcam.neurons.narration.narrate`.

        Raises:
            ExplainError: the method weighs no units, or the names do not fit.
        """
        return narrate(self, names, **options)

    def show(self) -> None:
        """Draw picture and overlay with matplotlib: in a notebook below the cell, elsewhere in a window."""
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
        for axis, picture in zip(axes, (self.image, self.overlay()), strict=True):
            axis.imshow(picture)
            axis.axis("off")
        figure.suptitle(f"{self.context}\n{self._title()}".strip() + (f"\n{self.note}" if self.note else ""))
        plt.show()

    def save(self, path: str | os.PathLike[str], **look: Unpack[Look]) -> Path:
        """Write the overlay (``.png``, ``.jpg``), the figure (``.pdf``, ``.svg``) or the data (``.npz``).

        The file appears whole or not at all; folders are made, and a file that is there is replaced. The overlay has
        the picture's own size; the figure, of `figure`, has texts that stay texts. `mmcam.load_explanation`
        gives the explanation back from its ``.npz``, which holds the map at its own resolution and the picture (see
        `mmcam.explanation.npz`).

        Args:
            path: its suffix says what is written.
            look: how the map is drawn, as in `overlay`.

        Raises:
            ExplainError: another suffix, a look that cannot be, or a place where nothing can be written.
        """
        writers = {
            **picture_writers(lambda: self.overlay(**look)),
            **figure_writers(lambda: self.figure(**look)),
            ".npz": self._write_data,
        }
        return save_as(
            path, writers, "use .png or .jpg for the overlay, .pdf or .svg for the figure, or .npz for the data"
        )

    def html(self, path: str | os.PathLike[str], *, names: Names | Dissection | None = None, title: str = "") -> Path:
        """Write a page that opens from disk: the map over the picture, with its score.

        Args:
            path: ends in ``.html``; folders are made, and a file that is there is replaced.
            names: of the layer's units, to say why (see `why`).
            title: of the page; default what was explained.

        Raises:
            ExplainError: another suffix, a place where nothing can be written, or names that do not fit.
        """
        return write_page(path, [self.line()], names, title)

    def line(self, name: str = "") -> Line:
        """What a page says of it, under a name."""
        return Line("target", (), self, name)

    def _write_data(self, file: IO[bytes]) -> None:
        arrays: dict[str, Any] = packed("explanation", self.summary(), [self])
        np.savez_compressed(file, **arrays)

    @property
    def plain_options(self) -> dict[str, object]:
        """The options of the method, ready for JSON."""
        return {name: value if _plain(value) else str(value) for name, value in self.options.items()}

    def summary(self) -> dict[str, object]:
        """The explanation without its arrays, ready for JSON."""
        return {
            "target": self.target,
            "context": self.context,
            "score": self.score,
            "scored": self.scored,
            "cells": self.cells,
            "peak": self.peak(),
            "box": self.box(),
            "peak_in_box": self.peak_in_box(),
            "method": self.method,
            "options": self.plain_options,
            "layer": self.layer,
            "model": self.model,
            "size": list(self.image.size),
            "preparation": self.preparation,
            "note": self.note,
            "prediction": None if self.prediction is None else self.prediction.summary(),
            "region": None if self.region is None else self.region.summary(),
            "candidate": None if self.candidate is None else self.candidate.summary(),
            "version": self.version,
        }

    def _title(self) -> str:
        return f"{self.target}  ({self.score:.2f})"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.overlay())

    def __repr__(self) -> str:
        width, height = self.image.size
        context = f" in {self.context!r}" if self.context else ""
        empty = ", empty" if self.empty else ""
        return (
            f"Explanation({self.target!r}{context}, score {self.score:.3f}, {self.method} at {self.layer} "
            f"of {self.model}, {width}×{height}{empty})"
        )


def _plain(value: object) -> bool:
    """JSON can hold it."""
    return value is None or isinstance(value, (str, int, float, bool))
