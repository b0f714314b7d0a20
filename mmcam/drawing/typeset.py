"""Set a sheet as a matplotlib figure: every picture on whole pixels, every text measured before it is placed.

It is made without pyplot, so no backend is chosen and no figure is kept. Heights follow from how texts break into
lines, which automatic layouts do not know; that is why places are reckoned here and handed to matplotlib.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from mmcam.drawing.fonts import Fonts, clean, fonts_for
from mmcam.drawing.overlay import draw_overlay, mute_outside
from mmcam.drawing.sheet import DPI, SIDE, Bar, Block, Key, Panel, Sheet, fitted_size
from mmcam.errors import ExplainError

_INK, _FAINT, _PAPER = "#1c2026", "#5f656d", "white"
_HEADING, _TITLE, _NOTE = 9.5, 8.5, 7.0  # points
_LEADING = 1.3  # from line to line, of a font's size
_LARGEST = 2**16 - 1  # pixels of a side that matplotlib draws


@dataclass(frozen=True)
class _Text:
    """A line of text; x and y, of its baseline, in pixels from the top left."""

    x: float
    y: float
    text: str
    size: float
    colour: str = _INK
    weight: str = "normal"
    upwards: bool = False


@dataclass(frozen=True)
class _Place:
    """Where a panel lies, in pixels from the top left; `name` is the label of its axes."""

    left: int
    top: int
    width: int
    height: int
    panel: Panel
    name: str = "panel"


@dataclass
class _Layout:
    """What has been placed so far, and how wide texts are."""

    dpi: float
    fonts: Fonts
    band: int
    texts: list[_Text] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)

    @property
    def strong(self) -> str:
        """The weight of headings; a font that was fallen back on may have but one."""
        return "bold" if self.fonts.usual else "normal"

    def line(self, size: float) -> float:
        """The height of a line of so many points."""
        return size * self.dpi / 72 * _LEADING

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        """How wide a text is set."""
        return _width(text, size, weight, self.fonts.families, self.dpi)

    def lines(self, text: str, size: float, room: float, weight: str = "normal", most: int = 6) -> list[str]:
        """A text in lines that fit; a word that does not fit alone is broken, and what is too long ends in "…"."""
        lines, line = list[str](), ""
        for word in clean(text).split(" "):
            if self.width(longer := f"{line} {word}".strip(), size, weight) <= room:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = self._broken(word, size, room, weight)
            lines += full
        lines += [line] if line else []
        if len(lines) <= most:
            return lines
        kept = lines[: most - 1] + self._broken(f"{lines[most - 1]}…", size, room, weight)[:1]
        return [*kept[:-1], kept[-1] if kept[-1].endswith("…") else f"{kept[-1][:-1]}…"]

    def _broken(self, word: str, size: float, room: float, weight: str) -> list[str]:
        """A word in parts that fit, broken after its signs (layer4.2_conv), else between characters seen apart."""
        if self.width(word, size, weight) <= room:
            return [word]
        parts, part = list[str](), ""
        for piece in re.findall(r"[^_./+-]*[_./+-]|[^_./+-]+", word):
            fits = self.width(piece, size, weight) <= room
            for unit in [piece] if fits else _seen(piece):
                if part and self.width(part + unit, size, weight) > room:
                    parts.append(part)
                    part = ""
                part += unit
        return [*parts, part]

    def paragraph(self, lines: Sequence[str], x: float, y: float, **look: Any) -> float:
        """Place lines below y; returns where they end."""
        step = self.line(look["size"])
        for number, text in enumerate(lines):
            self.texts.append(_Text(x, y + (number + 0.78) * step, text, **look))
        return y + len(lines) * step


@lru_cache(maxsize=2**14)
def _width(text: str, size: float, weight: str, names: tuple[str, ...], dpi: float) -> float:
    font = FontProperties(family=list(names), size=size, weight=weight)
    renderer: Any = RendererAgg
    return float(renderer(1, 1, dpi).get_text_width_height_descent(text, font, ismath=False)[0])


def _seen(word: str) -> list[str]:
    """The characters of a word with what is joined to each: accents, and the parts of an emoji."""
    parts: list[str] = []
    for character in word:
        joined = unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf", "Sk") or (
            bool(parts) and parts[-1].endswith("\u200d")
        )
        if joined and parts:
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def typeset(sheet: Sheet, *, side: float = SIDE, dpi: float = DPI, band: float = 0.0) -> Figure:
    """A sheet as a figure that is as large as it needs to be.

    Args:
        sheet: what it holds.
        side: of a panel's longer side, in inches.
        dpi: pixels an inch.
        band: at least so much room, in inches, for the text below a row.

    Raises:
        ExplainError: no panel, or so many that no picture can be as large.
    """
    if not any(panel for block in sheet.blocks for row in block.rows for panel in row):
        raise ExplainError("There is nothing to draw: no explanation is given.")
    pixels = round(side * dpi)
    layout = _Layout(dpi, fonts_for(_words(sheet)), round(band * dpi))
    with layout.fonts.told():
        width, height = _lay(layout, sheet, pixels)
    if max(width, height) > _LARGEST:
        raise ExplainError(
            f"A figure of {len(layout.places)} pictures would be {width} × {height} pixels; draw fewer at a time."
        )
    return _figure(layout, width, height)


def _lay(layout: _Layout, sheet: Sheet, pixels: int) -> tuple[int, int]:
    """Place everything; returns the width and the height of it all."""
    gap = max(1, pixels // 28)
    cell = _cell_width(sheet, pixels)
    indent = max((_indent(layout, block, pixels, gap) for block in sheet.blocks), default=0)
    columns = max(len(row) for block in sheet.blocks for row in block.rows)
    width = indent + columns * (cell + gap) + gap
    room = width - 2 * gap
    y = float(gap)
    if sheet.heading or sheet.subtitle:
        head = layout.lines(sheet.heading, _HEADING, room, layout.strong, most=8)
        y = layout.paragraph(head, gap, y, size=_HEADING, weight=layout.strong)
        below = layout.lines(sheet.subtitle, _NOTE, room)
        y = layout.paragraph(below, gap, y, size=_NOTE, colour=_FAINT) + gap
    for block in sheet.blocks:
        y = _block(layout, block, (indent + gap, round(y)), (cell, pixels, gap)) + gap
    y = _legend(layout, sheet, gap, y + gap / 2, room) if sheet.bars or sheet.keys else y - gap
    for remark in sheet.remarks:
        y = layout.paragraph(layout.lines(remark, _NOTE, room), gap, y, size=_NOTE, colour=_FAINT)
    return width, round(y + gap)


def _words(sheet: Sheet) -> Iterator[str]:
    """Every text of a sheet."""
    yield from (sheet.heading, sheet.subtitle, *sheet.remarks, *(text for _, text in sheet.keys))
    yield from (bar.top for bar in sheet.bars)
    for block in sheet.blocks:
        yield from (block.heading, block.subtitle, *block.row_titles, *block.column_titles)
        for panel in (panel for row in block.rows for panel in row if panel):
            yield from (panel.title, panel.note)


def _cell_width(sheet: Sheet, pixels: int) -> int:
    """The width of the widest picture, and of its text at least half a panel."""
    widths = [
        fitted_size(panel.picture.size, pixels)[0]
        for block in sheet.blocks
        for row in block.rows
        for panel in row
        if panel
    ]
    return max(*widths, round(0.55 * pixels))


def _indent(layout: _Layout, block: Block, pixels: int, gap: int) -> int:
    """How far titles of rows push the panels to the right."""
    lines = max((len(layout.lines(title, _TITLE, pixels)) for title in block.row_titles), default=0)
    return round(lines * layout.line(_TITLE)) + gap if lines else 0


def _block(layout: _Layout, block: Block, corner: tuple[int, int], sizes: tuple[int, int, int]) -> float:
    """Place a block below a corner; returns where it ends."""
    (left, top), (cell, pixels, gap) = corner, sizes
    y = below = float(top)
    if block.heading or block.subtitle:
        room = max(len(row) for row in block.rows) * (cell + gap) - gap
        lines = layout.lines(block.heading, _TITLE, room, layout.strong)
        y = layout.paragraph(lines, left, y + gap / 2, size=_TITLE, weight=layout.strong)
        small = layout.lines(block.subtitle, _NOTE, room)
        y = layout.paragraph(small, left, y, size=_NOTE, colour=_FAINT) + gap / 2
    if any(block.column_titles):
        titles = [layout.lines(title, _TITLE, cell) for title in block.column_titles]
        deepest = max(map(len, titles))
        for column, lines in enumerate(titles):
            down = y + (deepest - len(lines)) * layout.line(_TITLE)
            layout.paragraph(lines, left + column * (cell + gap), down, size=_TITLE)
        y += deepest * layout.line(_TITLE) + gap / 3
    for number, row in enumerate(block.rows):
        start = round(y)
        height = max((fitted_size(panel.picture.size, pixels)[1] for panel in row if panel), default=0)
        if number < len(block.row_titles):
            _row_title(layout, block.row_titles[number], (left - gap, start), height)
        ends = [float(start + height + layout.band)]
        for column, panel in enumerate(row):
            if panel is not None:
                x = left + column * (cell + gap)
                wide, high = fitted_size(panel.picture.size, pixels)
                layout.places.append(_Place(x, start + height - high, wide, high, panel))
                ends.append(_below(layout, panel, (x, start + height), cell))
        below = max(ends)
        # A fixed band of text holds the space between rows already.
        y = below + (gap if layout.band else 1.5 * gap)
    return below


def _row_title(layout: _Layout, title: str, corner: tuple[int, int], height: int) -> None:
    """A title that reads upwards, left of the corner, at the middle of the row."""
    right, top = corner
    lines, step = layout.lines(title, _TITLE, height), layout.line(_TITLE)
    for number, text in enumerate(lines):
        x = right - (len(lines) - number - 0.78) * step
        middle = top + (height + layout.width(text, _TITLE)) / 2
        layout.texts.append(_Text(x, middle, text, _TITLE, upwards=True))


def _below(layout: _Layout, panel: Panel, corner: tuple[int, int], cell: int) -> float:
    """The title and the note of a panel, on one line where both fit; returns where they end."""
    (x, y), note = corner, clean(panel.note)
    lines = layout.lines(panel.title, _TITLE, cell, most=4)
    end = layout.paragraph(lines, x, y, size=_TITLE) if lines else float(y)
    if not note:
        return end
    taken = layout.width(f"{lines[-1]}  ", _TITLE) if lines else 0.0
    if taken + layout.width(note, _NOTE) <= cell:
        baseline = y + (max(1, len(lines)) - 1 + 0.78) * layout.line(_TITLE)
        layout.texts.append(_Text(x + taken, baseline, note, _NOTE, _FAINT))
        return max(end, y + layout.line(_TITLE))
    return layout.paragraph(layout.lines(note, _NOTE, cell), x, end, size=_NOTE, colour=_FAINT)


def _legend(layout: _Layout, sheet: Sheet, left: int, top: float, room: float) -> float:
    """Bars and keys with their texts, side by side as far as they fit; returns where they end."""
    step, space = layout.line(_NOTE), layout.width("00", _NOTE)
    x, y, line_end = float(left), top, top
    for name, picture, before, text in _entries(sheet, layout.dpi):
        lead = layout.width(before, _NOTE) + space / 2 if before else 0.0
        text_at = lead + picture.width + space / 2
        wanted = text_at + layout.width(clean(text), _NOTE)
        if x > left and x + wanted > left + room:
            x, y = float(left), line_end
        if before:
            layout.paragraph([before], x, y, size=_NOTE, colour=_FAINT)
        down = round(y + (step - picture.height) / 2)
        box, peak = _sample_marks(name, picture)
        panel = Panel(picture, box=box, peak=peak)
        layout.places.append(_Place(round(x + lead), down, picture.width, picture.height, panel, name))
        lines = layout.lines(text, _NOTE, max(left + room - x - text_at, layout.width("mmmmmm", _NOTE)))
        line_end = max(line_end, layout.paragraph(lines, x + text_at, y, size=_NOTE, colour=_FAINT))
        x += wanted + 2 * space
    return line_end


def _entries(sheet: Sheet, dpi: float) -> Iterator[tuple[str, Image.Image, str, str]]:
    """Of each entry of the legend the name, a sample, what stands before it and what after it."""
    high = max(4, round(0.09 * dpi))
    for bar in sheet.bars:
        yield "bar", _ramp(bar, round(0.75 * dpi), high), "0", bar.top
    grey = Image.new("RGB", (2 * high, high), (120, 120, 120))
    for key, text in sheet.keys:
        yield key, _sample(key, grey, dpi), "", text


def _ramp(bar: Bar, width: int, height: int) -> Image.Image:
    """The colours of a map as they look over a middle grey."""
    grey = Image.new("RGB", (width, height), (128, 128, 128))
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    return draw_overlay(grey, ramp, alpha=bar.alpha, cmap=bar.cmap)


def _sample(key: Key, grey: Image.Image, dpi: float) -> Image.Image:
    """What a key of the legend shows, but for its marks."""
    if key == "outside":  # cut from a panel, so that the stripes are those of panels
        panel = Image.new("RGB", (round(SIDE * dpi),) * 2, (120, 120, 120))
        return mute_outside(panel, (0, 0, 0, 0)).crop((0, 0, *grey.size))
    if key == "signed":
        ramp = np.broadcast_to(np.linspace(0, 255, grey.width).astype(np.uint8), grey.size[::-1])
        return Image.fromarray(ramp.copy()).convert("RGB")
    return grey


def _sample_marks(key: str, picture: Image.Image) -> tuple[Any, Any]:
    """The box and the peak that a sample of the legend shows."""
    width, height = picture.size
    box = (width // 5, height // 5, width - width // 5, height - height // 5) if key == "box" else None
    return box, (width // 2, height // 2) if key == "peak" else None


def _figure(layout: _Layout, width: int, height: int) -> Figure:
    # A thousandth of a pixel more: a canvas has the whole pixels of its inches.
    figure = Figure(figsize=((width + 1e-3) / layout.dpi, (height + 1e-3) / layout.dpi), dpi=layout.dpi)
    figure.patch.set_facecolor(_PAPER)
    FigureCanvasAgg(figure)
    for place in layout.places:
        _place(figure, place, width, height)
    for text in layout.texts:
        figure.text(
            text.x / width,
            1 - text.y / height,
            text.text,
            family=list(layout.fonts.families),
            fontsize=text.size,
            color=text.colour,
            weight=text.weight,
            style="normal",
            horizontalalignment="left",
            verticalalignment="baseline",
            rotation="vertical" if text.upwards else "horizontal",
            rotation_mode="anchor",
            parse_math=False,
            usetex=False,
        )
    return figure


def _place(figure: Figure, place: _Place, width: int, height: int) -> None:
    """A panel on its pixels, in the coordinates of its picture."""
    bottom = height - place.top - place.height
    axes = figure.add_axes(
        (place.left / width, bottom / height, place.width / width, place.height / height), label=place.name
    )
    axes.set_axis_off()
    panel = place.panel
    wide, high = panel.size or panel.picture.size
    small = place.name != "panel"
    axes.imshow(
        np.asarray(panel.picture.convert("RGB")),
        extent=(0, wide, high, 0),
        origin="upper",
        aspect="auto",
        interpolation="auto",
    )
    line = 0.6 if small else 0.8
    effects = [withStroke(linewidth=2.4 * line, foreground="black")]
    if panel.box is not None:
        left, top, right, low = panel.box
        # Inside the box as far as the line is thick, so that it hides no text beside the picture.
        inset = 1.2 * line * figure.dpi / 72 * wide / place.width
        across, down = (min(inset, (end - start) / 4) for start, end in ((left, right), (top, low)))
        corner, size = (left + across, top + down), (right - left - 2 * across, low - top - 2 * down)
        look: Any = {"edgecolor": "white", "linewidth": line, "path_effects": effects, "clip_on": False}
        axes.add_patch(Rectangle(corner, *size, fill=False, **look))
    if panel.peak is not None:
        x, y = panel.peak
        axes.plot(
            [x + 0.5], [y + 0.5], marker="+", markersize=5 if small else 7, markeredgewidth=line, color="white",
            path_effects=effects, scalex=False, scaley=False,
        )  # fmt: skip


def _fonts_of(figure: Figure) -> Fonts:
    return fonts_for(text.get_text() for text in figure.texts)


def as_picture(figure: Figure) -> Image.Image:
    """A figure as pixels."""
    canvas: Any = FigureCanvasAgg(figure)
    with _fonts_of(figure).told():
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def write_vector(figure: Figure, file: IO[bytes], kind: str) -> None:
    """Write a figure as "pdf" or "svg": its texts are texts, and its pictures keep their own pixels.

    In a PDF the fonts are embedded as TrueType, which journals take and readers search. An SVG names its fonts, so that
    its texts can be searched and edited, too; where a reader lacks the first, it takes the next.
    """
    for axes in figure.axes:
        for image in axes.images:
            image.set_interpolation("none")  # the word at which matplotlib embeds a picture as it is
    dated: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Date": None}
    settings: Any = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "mmcam", "savefig.bbox": "standard"}
    with mpl.rc_context(settings), _fonts_of(figure).told():
        figure.savefig(file, format=kind, dpi=figure.dpi, metadata=dated, facecolor=_PAPER, edgecolor="none")
