"""A picture as the bytes of a PNG file, as notebooks show it."""

from __future__ import annotations

import io

from PIL import Image


def png_bytes(picture: Image.Image) -> bytes:
    """The content of a PNG file of a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
