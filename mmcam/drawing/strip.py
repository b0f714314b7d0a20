"""Lay captioned pictures out in rows: the words of a caption, a sheet of examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

_INK, _FAINT, _PAPER = (28, 32, 38), (120, 126, 134), (255, 255, 255)


def draw_strip(
    panels: Iterable[tuple[Image.Image, str]], notes: Sequence[str], *, columns: int = 6, side: int = 224
) -> Image.Image:
    """Panels in rows, each fitted into a square of `side` pixels, with a title below and a fainter note beside it.

    Args:
        panels: pictures and their titles; fitted one by one as they come, since photographs may be large.
        notes: one short text a panel, drawn small and grey after the title; "" for none.

    Raises:
        ValueError: no panel, or not one note a panel.
    """
    fitted = [(_fit(picture, side), title) for picture, title in panels]
    if not fitted or len(notes) != len(fitted):
        raise ValueError(f"A strip needs panels and as many notes; there are {len(fitted)} and {len(notes)}.")
    gap, text = side // 28, side // 7
    columns = min(columns, len(fitted))
    rows = -(-len(fitted) // columns)
    # The tallest picture sets the row height, so that wide photographs leave no empty band.
    height = max(picture.height for picture, _ in fitted)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (height + text + gap) + gap), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(text * 0.62), ImageFont.load_default(text * 0.42)
    for i, ((picture, title), note) in enumerate(zip(fitted, notes, strict=True)):
        left, top = gap + (i % columns) * (side + gap), gap + (i // columns) * (height + text + gap)
        sheet.paste(picture, (left + (side - picture.width) // 2, top + height - picture.height))
        baseline = top + height + text * 0.72
        pen.text((left, baseline), title, _INK, large, anchor="ls")
        pen.text((left + side, baseline), note, _FAINT, small, anchor="rs")
    return sheet


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, flush left on white."""
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), _PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet


def _fit(picture: Image.Image, side: int) -> Image.Image:
    ratio = side / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    return picture.resize(size, Image.Resampling.LANCZOS)
