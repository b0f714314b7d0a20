"""Lay captioned pictures out in rows, as a picture: examples, sheets of experiments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from mmcam.drawing.sheet import SIDE, Block, Panel, Sheet, fitted_size, in_rows


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
    from mmcam.drawing.typeset import as_picture, typeset

    # Small pictures are enlarged here, by a better filter than a figure's.
    fitted = [
        (picture.resize(fitted_size(picture.size, side), Image.Resampling.LANCZOS), title) for picture, title in panels
    ]
    if not fitted or len(notes) != len(fitted):
        raise ValueError(f"A strip needs panels and as many notes; there are {len(fitted)} and {len(notes)}.")
    made = [Panel(picture, title, note) for (picture, title), note in zip(fitted, notes, strict=True)]
    return as_picture(typeset(Sheet([Block(in_rows(made, columns))]), dpi=side / SIDE, band=SIDE / 7))


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, flush left on white."""
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet
