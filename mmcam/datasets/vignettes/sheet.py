"""Many vignettes on one page."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

from mmcam.datasets.vignettes.truth import SIZE
from mmcam.datasets.vignettes.vignette import Vignette

_GAP = 12
_LINE = 16
_LINES = 3  # the longest caption fits


def contact_sheet(vignettes: Iterable[Vignette], columns: int = 5, captions: bool = True) -> Image.Image:
    """Pictures in rows of `columns`, with the first caption under each if `captions`.

    Raises:
        ValueError: if there are no vignettes or no columns.
    """
    vignettes = list(vignettes)
    if not vignettes or columns < 1:
        raise ValueError("A contact sheet needs at least one vignette and one column.")
    columns = min(columns, len(vignettes))
    rows = -(-len(vignettes) // columns)
    width, height = SIZE + _GAP, SIZE + _GAP + (_LINES * _LINE + 4 if captions else 0)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, vignette in enumerate(vignettes):
        x, y = _GAP + i % columns * width, _GAP + i // columns * height
        sheet.paste(vignette.image, (x, y))
        if captions:
            for k, line in enumerate(_wrapped(vignette.captions[0].text, draw, font)):
                draw.text((x, y + SIZE + 4 + k * _LINE), line, fill=(40, 40, 48), font=font)
    return sheet


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= SIZE:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
