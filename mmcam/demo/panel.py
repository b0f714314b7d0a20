"""A picture beside its maps, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcam.drawing.strip import draw_strip
from mmcam.explanation import Explanation
from mmcam.files import write_whole


def write_panel(path: Path, explanations: Sequence[Explanation]) -> Path:
    """The picture beside its overlays, with what each is of and its score below."""
    panels = [(explanations[0].image, "")] + [(exp.overlay(), exp.target) for exp in explanations]
    notes = ["", *(f"{exp.score:.2f}" for exp in explanations)]
    return write_whole(path, lambda file: draw_strip(panels, notes, side=320).save(file, "PNG"))
