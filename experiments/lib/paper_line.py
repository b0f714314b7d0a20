"""One experiment of a paper, as the table of all tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One experiment of the paper.

    Attributes:
        section: of the Grad-CAM paper (arXiv 1610.02391v4), or of the paper named with it.
        what: is measured.
        command: what to type for the official data.
        published: the figures, those that are remembered with a ~.
        tables: names of the results' files, without their ending.
        vignettes, photographs: measured here, in one sentence; None where there is nothing to measure.
        data: that the whole protocol needs.
    """

    section: str
    what: str
    command: str
    published: str
    tables: Sequence[str]
    vignettes: Callable[[], str] | None
    photographs: Callable[[], str] | None
    data: str
