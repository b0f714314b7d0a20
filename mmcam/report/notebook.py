"""A page under the cell of a notebook that made it."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path

from mmcam.errors import ExplainError

HEIGHT = 620
"""Pixels of a page with one picture."""


@dataclass(frozen=True, repr=False)
class Inline:
    """A page that Jupyter shows in place, with all it does when it is pointed at.

    Attributes:
        page: of mmcam, as text.
        height: in pixels.
    """

    page: str
    height: int

    def __repr__(self) -> str:
        return f"a page of {len(self.page) // 1000} kB, which Jupyter shows"

    def _repr_html_(self) -> str:
        # A frame of its own: the page's styles and scripts touch nothing of the notebook's, and the file may go.
        held = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{held}" style="width:100%;height:{self.height}px;border:0"></iframe>'


def inline(page: str | os.PathLike[str], height: int = HEIGHT) -> Inline:
    """Show a page that was written (`Explanations.html`, `CaptionExplanation.html`, an atlas …) in a notebook.

    Args:
        page: its path.
        height: pixels that it gets; what is longer is scrolled.

    Raises:
        ExplainError: there is no such file.
    """
    try:
        return Inline(Path(page).read_text(encoding="utf-8"), height)
    except OSError as error:
        raise ExplainError(f"The page {os.fspath(page)} cannot be read ({error.strerror}); write it first.") from error
