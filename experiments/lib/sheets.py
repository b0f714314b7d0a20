"""Pictures of results, each small enough for a page: photographs and maps as WebP, plots as PNG of few colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from mmcam.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDEST: Final = 1600
"""Pixels; a page shows no more."""
LARGEST: Final = 300_000
"""Bytes; no picture of the results is larger."""
QUALITIES: Final = (85, 80, 75, 70)
"""Of WebP, the best first."""


def keep_sheet(path: Path, sheet: Image.Image) -> Path:
    """Write photographs and maps as WebP, in the best of `QUALITIES` that is not too large.

    Args:
        path: of the file, ending in .webp.
        sheet: made smaller if it is wider than `WIDEST`.

    Returns:
        The path.

    Raises:
        ValueError: it is too large in every quality; the message says to draw less.
    """
    small = sheet.convert("RGB")
    if small.width > WIDEST:
        small = small.resize((WIDEST, round(small.height * WIDEST / small.width)), Image.Resampling.LANCZOS)
    data = b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=6)
        data = buffer.getvalue()
        if len(data) <= LARGEST:
            break
    else:
        raise ValueError(f"{path.name} takes {len(data):,} bytes, over {LARGEST:,}; draw fewer or smaller panels.")
    return write_whole(path, lambda file: file.write(data))


def keep_plot(path: Path, plot: Figure, dpi: int = 110) -> Path:
    """Write a plot of matplotlib as PNG with a palette, a third of the size it has in full colour.

    Args:
        path: of the file, ending in .png.
        plot: on any background; what shows through is white.
        dpi: pixels an inch.

    Returns:
        The path.
    """
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    few = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    return write_whole(path, lambda file: few.save(file, "PNG", optimize=True))
