"""An explanation in words, with its table of units and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from mmcam.datasets.concepts import ConceptData
from mmcam.drawing.overlay import draw_overlay
from mmcam.drawing.strip import draw_strip, stack
from mmcam.errors import ExplainError
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.exemplars import patches
from mmcam.neurons.explanation_like import ExplanationLike
from mmcam.neurons.sentence import Reason, short


@dataclass(frozen=True, eq=False)
class Why:
    """A textual explanation; `str` gives its text.

    Attributes:
        text: one sentence.
        table: the units that mattered most, those that spoke for it first, unnamed ones included.
        measure: what `Reason.fit` is: "IoU", "similarity", or "".
        explanation: what was asked about.
        dissection: what the names come from, if it was given.
    """

    text: str
    table: tuple[Reason, ...]
    measure: str
    explanation: ExplanationLike
    dissection: Dissection | None = None

    def figure(self, data: ConceptData | None = None) -> Image.Image:
        """The picture, its map, and the map of each named unit of the table.

        A name that is told with a "perhaps" has a question mark, and "class" stands beside one that is known of whole
        photographs only, with its selectivity.

        Args:
            data: what the layer was dissected with; then the places where each unit is strongest are shown below it.

        Raises:
            ExplainError: `data` without a dissection, or of another data set.
        """
        if data is not None and (self.dissection is None or self.dissection.data != data.name):
            made = f"from {self.dissection.data}" if self.dissection is not None else "by no dissection"
            raise ExplainError(f"The names were made {made}, so {data.name} shows none of its units; leave data= out.")
        exp = self.explanation
        blank = Image.new("RGB", exp.image.size, "white")
        sides = [
            [reason for reason in self.table if reason.name and reason.speaks == side] for side in ("for", "against")
        ]
        columns = 2 + max(map(len, sides))
        beginnings = [[(exp.image, "", ""), (exp.overlay(), exp.target, f"{exp.score:.2f}")], [(blank, "", "")] * 2]
        rows: list[Image.Image] = []
        for beginning, reasons in zip(beginnings, sides, strict=True):
            if not reasons and rows:
                continue
            panels = [*beginning, *(self._panel(reason) for reason in reasons)]
            panels += [(blank, "", "")] * (columns - len(panels))
            rows.append(draw_strip([panel[:2] for panel in panels], [panel[2] for panel in panels], columns=columns))
            if data is not None and self.dissection is not None and reasons:
                rows.append(self._patches(data, reasons, rows[-1].width, columns))
        return stack(rows)

    def _panel(self, reason: Reason) -> tuple[Image.Image, str, str]:
        """A unit's map over the picture, its name, and which unit it is."""
        exp = self.explanation
        assert exp.activations is not None
        own = exp.geometry.to_original(exp.activations[reason.unit]).cpu().numpy()
        sign = "+" if reason.speaks == "for" else "-"
        measure = "class" if reason.seen_in == "photographs" else self.measure  # short: it stands beside the name
        fit = "" if reason.fit is None or not measure else f", {measure} {short(reason.fit)}"
        return draw_overlay(exp.image, own), f"{sign} {reason.name}{'?' * reason.perhaps}", f"unit {reason.unit}{fit}"

    def _patches(self, data: ConceptData, reasons: Sequence[Reason], width: int, columns: int) -> Image.Image:
        """A row of patches, three below each unit's panel."""
        assert self.dissection is not None
        row = Image.new("RGB", (width, 80), "white")
        step = (width - 8) // columns
        for i, reason in enumerate(reasons, start=2):
            for j, patch in enumerate(patches(self.dissection, data, reason.unit, n=3, side=72)):
                row.paste(patch, (8 + i * step + j * 76, 0))
        return row

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        fit = f" {self.measure} |" if self.measure else ""
        head = f"| | unit | name |{fit} weight | contribution |\n|---|---|---|{'---|' if fit else ''}---|---|"
        rows = [
            f"| {r.speaks} | {r.unit} | {r.told or '—'} |"
            + (f" {'' if r.fit is None else f'{r.fit:.2f}'} |" if fit else "")
            + f" {r.weight:.3g} | {r.contribution:.3g} |"
            for r in self.table
        ]
        return "\n".join([f"{self.text}\n", head, *rows])
