"""The report as a PDF on A4, set by matplotlib: texts that can be searched, and pictures with their own pixels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

from mmcam.diagnosis.transfer.findings import Finding, percent
from mmcam.diagnosis.transfer.report import Report
from mmcam.drawing.fonts import clean, fonts_for
from mmcam.drawing.saving import save_as
from mmcam.report.spotlight import thumbnail

WIDTH, HEIGHT = 8.27, 11.69
MARGIN: Final = 0.75
ROWS: Final = 5
"""Photographs on a page."""
PIXELS: Final = 300
"""Of a picture's longer side, 150 an inch."""
_INK, _FAINT, _LINE, _WARN, _GOOD, _BAD = "#1d2126", "#5d6369", "#d9d9d4", "#8a4b00", "#22693a", "#a02525"


def write_pdf(path: Path, report: Report) -> Path:
    """Write a report; a file that is there is replaced.

    Raises:
        ExplainError: no ``.pdf`` path, or a place where nothing can be written.
    """
    fonts = fonts_for(_words(report))

    def write(file: IO[bytes]) -> None:
        settings: Any = {"pdf.fonttype": 42, "font.family": list(fonts.families), "text.parse_math": False}
        told = {"Title": clean(report.title), "CreationDate": None}
        with mpl.rc_context(settings), fonts.told(), PdfPages(file, metadata=told) as pdf:
            sheet = _Sheet(pdf)
            _front(sheet, report)
            _pictures(sheet, "To be checked by hand, the least sure first", report.checked, report.tested)
            _pictures(sheet, "Found: the photograph, and what the model went by", report.shown, report.tested)
            sheet.end()

    return save_as(path, {".pdf": write}, "a report on paper is a .pdf file")


class _Sheet:
    """Pages that are filled from above; y is in inches from the top."""

    def __init__(self, pdf: PdfPages) -> None:
        self._pdf, self._page = pdf, 0
        self._figure: Figure | None = None
        self.y = HEIGHT

    def room(self, height: float) -> bool:
        """Begin a new page unless so many inches are left; whether one was begun."""
        if self._figure is not None and self.y + height <= HEIGHT - MARGIN:
            return False
        self.end()
        self._figure, self._page, self.y = Figure(figsize=(WIDTH, HEIGHT)), self._page + 1, MARGIN
        self._write(WIDTH - MARGIN, HEIGHT - 0.42, str(self._page), 8, color=_FAINT, horizontalalignment="right")
        return True

    def end(self) -> None:
        """Finish the page."""
        if self._figure is not None:
            self._pdf.savefig(self._figure)  # type: ignore[no-untyped-call]
        self._figure = None

    def text(self, text: str, size: float = 9.5, x: float = MARGIN, right: float = WIDTH - MARGIN, **look: Any) -> None:
        """A paragraph, broken into lines."""
        step = size * 1.38 / 72
        # Of the fonts that matplotlib has, letters are a little more than half as wide as high.
        wide = max(8, int((right - x) * 72 / (size * (0.6 if look.get("weight") == "bold" else 0.535))))
        for line in textwrap.wrap(clean(text), wide) or [""]:
            self.room(step)
            self._write(x, self.y + 0.76 * step, line, size, **look)
            self.y += step

    def space(self, inches: float) -> None:
        """Leave room."""
        self.y += inches

    def rule(self) -> None:
        """A line across."""
        assert self._figure is not None
        across = mpl.lines.Line2D(
            [MARGIN / WIDTH, 1 - MARGIN / WIDTH], [1 - self.y / HEIGHT] * 2, color=_LINE, linewidth=0.7
        )
        self._figure.add_artist(across)

    def picture(self, picture: Image.Image, x: float, width: float, height: float) -> None:
        """A picture in a frame of so many inches, at its upper left."""
        assert self._figure is not None
        scale = min(width / picture.width, height / picture.height)
        wide, high = picture.width * scale, picture.height * scale
        box = (x / WIDTH, 1 - (self.y + high) / HEIGHT, wide / WIDTH, high / HEIGHT)
        axes = self._figure.add_axes(box)
        axes.set_axis_off()
        # At most 256 colours: PDF keeps pictures without loss, and photographs would weigh three times as much.
        few = thumbnail(picture, PIXELS).quantize(255).convert("RGB")
        axes.imshow(np.asarray(few), aspect="auto", interpolation="none")

    def _write(self, x: float, y: float, text: str, size: float, **look: Any) -> None:
        assert self._figure is not None
        self._figure.text(
            x / WIDTH, 1 - y / HEIGHT, text, fontsize=size,
            **{"color": _INK, "verticalalignment": "baseline", "parse_math": False, **look},
        )  # fmt: skip


def _front(sheet: _Sheet, report: Report) -> None:
    sheet.room(HEIGHT)
    sheet.text(report.title, 19, weight="bold")
    sheet.text(report.date, 9.5, color=_FAINT)
    sheet.space(0.15)
    for line in report.summary:
        sheet.text(line, 11)
        sheet.space(0.04)
    _heading(sheet, "How far it can be trusted")
    for row in report.trust:
        sheet.room(0.5)
        sheet.text(row.name, 9.5, weight="bold")
        sheet.text(f"Does it find it? {_sentence(row.found)}", x=MARGIN + 0.2)
        sheet.text(f"Is it right when it says so? {_sentence(row.meant)}", x=MARGIN + 0.2)
        sheet.space(0.06)
    for line in report.advice:
        sheet.text(line)
        sheet.space(0.05)
    if report.checked:
        _heading(sheet, f"To be checked by hand ({len(report.checked)})")
        for finding in report.checked:
            sheet.text(f"{finding.photo.path.name}: {finding.check}")
    if report.left_out:
        sheet.text(f"{report.left_out} further photographs are counted above and not shown.")
    if report.sound:
        _heading(sheet, f"No defect, for sure ({len(report.sound)})")
        sheet.text(", ".join(finding.photo.path.name for finding in report.sound), 8.5, color=_FAINT)
    if report.skipped:
        _heading(sheet, f"Not looked at ({len(report.skipped)})")
        for name, why in report.skipped:
            sheet.text(f"{name}: {why}")
    _heading(sheet, "How it was made")
    for word, told in report.made:
        sheet.text(f"{word}: {told}", 8.5)


def _heading(sheet: _Sheet, text: str) -> None:
    sheet.room(0.75)
    sheet.space(0.2)
    sheet.text(text, 12.5, weight="bold")
    sheet.space(0.06)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _pictures(sheet: _Sheet, heading: str, findings: Iterable[Finding], tested: bool) -> None:
    """Photographs with their maps, so many on a page."""
    side = (HEIGHT - 2 * MARGIN - 0.6) / ROWS - 0.16
    for number, finding in enumerate(findings):
        if sheet.room(side if number else HEIGHT):
            sheet.text(heading, 12.5, weight="bold")
            sheet.space(0.12)
        top = sheet.y
        sheet.picture(finding.picture, MARGIN, side, side)
        if finding.overlay is not None:
            sheet.picture(finding.overlay, MARGIN + side + 0.12, side, side)
        x = MARGIN + 2 * side + 0.34
        sheet.text(f"{finding.called}, {percent(finding.probability)}", 11, x=x, weight="bold")
        if finding.where:
            sheet.text(finding.where, 9, x=x)
        if finding.check:
            sheet.text(finding.check, 9, x=x, color=_WARN)
        if tested:
            right = finding.called == finding.photo.truth
            sheet.text("right" if right else f"in truth: {finding.photo.truth}", 9, x=x, color=_GOOD if right else _BAD)
        sheet.text(finding.photo.path.name, 8, x=x, color=_FAINT)
        if finding.photo.group:
            sheet.text(finding.photo.group, 8, x=x, color=_FAINT)
        sheet.y = top + side + 0.16


def _words(report: Report) -> Iterable[str]:
    """All that is written, to choose fonts by."""
    yield from (report.title, *report.summary, *report.advice)
    for finding in (*report.checked, *report.shown, *report.sound):
        yield from (finding.called, finding.photo.path.name, finding.photo.group)
    yield from (text for pair in (*report.skipped, *report.made) for text in pair)
