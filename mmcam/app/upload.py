"""A visitor's own picture: it is handed on as the file that was uploaded, and opened by mmcam alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder


class Upload(gr.Image):  # type: ignore[misc, unused-ignore]
    """Gradio's field for pictures, which opens none: Gradio would read more kinds of files than are safe."""

    def get_block_name(self) -> str:
        """What the browser shows it as."""
        return "image"

    def preprocess(self, payload: Any) -> Any:
        """Where the uploaded file lies; None for anything that was not uploaded."""
        if payload is None or payload.path is None:
            return None
        path, folder = Path(payload.path).resolve(), Path(get_upload_folder()).resolve()
        return str(path) if folder in path.parents else None
