"""A visitor's own picture: it is handed on as the file that was uploaded, and opened by mmcam alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder


def upload_field() -> gr.Image:
    """Gradio's field for pictures, which opens none: Gradio would read more kinds of files than are safe."""
    field = gr.Image(
        label="Your own picture", sources=["upload", "webcam", "clipboard"], type="filepath", image_mode=None,
        height=210, elem_id="upload",
    )  # fmt: skip
    field.preprocess = uploaded_file  # type: ignore[method-assign, unused-ignore]
    return field


def uploaded_file(payload: Any) -> str | None:
    """Where an uploaded file lies; None for anything that was not uploaded."""
    if payload is None or payload.path is None:
        return None
    folder = Path(get_upload_folder()).resolve()
    try:
        path = Path(payload.path).resolve()  # of a link, where it leads
    except (ValueError, OSError):  # a zero byte, a loop of links
        return None
    return str(path) if folder in path.parents else None
