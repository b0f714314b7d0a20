"""Explanations as one HTML page: words that light up their maps.

The page is one file that needs nothing else, no network either. A picture is on it once, however much is explained of
it, and a map as the values of its cells.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from mmcam.drawing.overlay import ALPHA, COLOUR_MAP
from mmcam.drawing.saving import save_as
from mmcam.errors import ExplainError
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.report.maps import drawn
from mmcam.report.shown import Line, Shown
from mmcam.report.spotlight import data_uri, thumbnail
from mmcam.report.templates import rendered
from mmcam.version import __version__

SIDE, QUALITY = 480, 80
"""Of the pictures on a page: at most so many pixels a side, about 25 kB each."""

_SCORES = {"log_prob": "log-probability", "prob": "probability", "": "score"}
"""What a score is called where its name does not say it."""


@dataclass
class Card:
    """A picture with all that is explained of it.

    Attributes:
        picture: as a data URI.
        size: (width, height) of that.
        lines: what was said.
        maps: of all lines, one after the other, as the browser reads them.
    """

    picture: str
    size: tuple[int, int]
    lines: list[Line] = field(default_factory=list)
    maps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The beginning that the names of its lines have in common."""
        names = sorted(line.name for line in self.lines)
        letters = takewhile(lambda pair: pair[0] == pair[1], zip(names[0], names[-1], strict=False))
        return "".join(letter for letter, _ in letters).strip(" -_.")

    @property
    def starts(self) -> list[int]:
        """Where the maps of each line begin."""
        counts = [len(line.items) for line in self.lines]
        return [sum(counts[:i]) for i in range(len(counts))]

    @property
    def rest(self) -> int:
        """The map that is shown while none is pointed at: a lone target's; of a text none, -1."""
        return 0 if len(self.maps) == 1 else -1


def write_page(
    path: str | os.PathLike[str], lines: Sequence[Line], names: Names | Dissection | None = None, title: str = ""
) -> Path:
    """Write lines as a page; those of one picture stand together.

    Args:
        path: of the page; it appears whole or not at all, and a file that is there is replaced.
        lines: at least one.
        names: of the units of the layer, to say why beside each map.
        title: of the page.

    Raises:
        ExplainError: there is nothing to show, a path that is none, a place where nothing can be written, or names that
            do not fit (see `mmcam.neurons.narration.narrate`).
    """
    if not lines:
        raise ExplainError("There is no explanation, so there is nothing to show; pass at least one.")

    def write(file: IO[bytes]) -> None:
        file.write(page(lines, names, title).encode("utf-8", "backslashreplace"))

    return save_as(path, {".html": write, ".htm": write}, "a page is an .html file")


def page(lines: Sequence[Line], names: Names | Dissection | None = None, title: str = "") -> str:
    """The HTML of a page (see `write_page`)."""
    cards = _cards(lines, names)
    how = {how_of(line.whole): None for line in lines}
    return rendered(
        "report/explained.html.jinja",
        {"fixed": fixed, "scored": scored, "how": how_of},
        title=title or _title(lines),
        cards=cards,
        how=next(iter(how)) if len(how) == 1 else "",
        texts=any(line.words for line in lines),
        cropped=any(drawing["seen"] for card in cards for drawing in card.maps),
        gradient=ramp(),
        data={
            **map_look(),
            "cards": [card.maps for card in cards],
        },
        version=__version__,
    )


def fixed(value: float, digits: int = 2) -> str:
    """A score to read: rounded, with a true minus sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no "-0.00"


def scored(exp: Shown, line: Line) -> str:
    """What the score of an explanation is."""
    if line.kind == "question" and exp is not line.whole:
        return f"{_SCORES.get(line.whole.scored, line.whole.scored)} lost without it"
    return _SCORES.get(exp.scored, exp.scored)


def how_of(exp: Shown) -> str:
    """By what method a map was made, where, and from what."""
    where = "" if exp.layer in ("pixels", "attention", "tokens") else f" at {exp.layer}"
    return f"{exp.method}{where} of {exp.model}" + (f"; picture: {exp.preparation}" if exp.preparation else "")


def _cards(lines: Sequence[Line], names: Names | Dissection | None) -> list[Card]:
    """The lines of each picture together, in the order in which the pictures come."""
    cards: dict[tuple[str, tuple[int, int]], Card] = {}
    small: dict[int, tuple[Image.Image, str]] = {}  # explanations of one picture mostly share its object
    for line in lines:
        image = line.whole.image
        if id(image) not in small:
            reduced = thumbnail(image, SIDE)
            small[id(image)] = reduced, data_uri(reduced, QUALITY)
        reduced, uri = small[id(image)]
        if (uri, image.size) not in cards:
            cards[uri, image.size] = Card(uri, reduced.size)
        card = cards[uri, image.size]
        for exp in line.items:
            card.maps.append(
                {
                    "label": "whole caption" if line.kind == "caption" and exp is line.whole else exp.target,
                    "told": f"{scored(exp, line)} {fixed(exp.score)}",
                    "more": [text for text in (exp.note, "" if names is None else str(exp.why(names))) if text],
                    "line": len(card.lines),
                    **drawn(exp, reduced.size),
                }
            )
        card.lines.append(line)
    return list(cards.values())


def _title(lines: Sequence[Line]) -> str:
    """What a page of these lines is called."""
    if len(lines) > 1:
        return f"{len(lines)} explanations"
    line = lines[0]
    text = " ".join(word.target for word in line.words) or line.whole.context
    return text if line.kind == "caption" else f"{text} — {line.whole.target}" if text else line.whole.target


def map_look() -> dict[str, Any]:
    """How a page's script draws maps (``report/maps.js.jinja``): their colours and how much they cover."""
    return {"alpha": ALPHA, "colours": base64.b64encode(colours().tobytes()).decode()}


def ramp() -> str:
    """The colours of maps from 0 to their maximum, for a gradient of a style sheet."""
    return ", ".join(f"#{bytes(colours()[level]).hex()}" for level in range(0, 256, 51))


def colours() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The colour map, (256,3)."""
    from matplotlib import colormaps

    return (colormaps[COLOUR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
