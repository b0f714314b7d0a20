"""Notebooks, run from the first cell to the last in a folder of their own, and what they show made small."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "experiments" / "notebooks"
QUALITY: Final = 75
WIDEST: Final = 900
"""Pixels that a picture keeps across."""
LONGEST: Final = 600
"""Seconds of a cell."""

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run(path: Path) -> Any:
    """A notebook with the outputs of a fresh kernel, in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    notebook = nbformat.read(path, as_version=4)
    held = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "editable"), held.get("PYTHONPATH", "")])
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), held.get("PATH", "")])  # of `!mmcam`
    os.environ["COLUMNS"] = "110"
    try:
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(
                notebook, timeout=LONGEST, kernel_name="python3", resources={"metadata": {"path": folder}}
            )
            client.execute()
    finally:
        os.environ.clear()
        os.environ.update(held)
    return notebook


def small(notebook: Any) -> Any:
    """The same with its pictures as JPEGs where that is smaller, and without times, warnings and control characters."""
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec", "language_info")}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [kept for output in cell.outputs if (kept := _shown(output)) is not None]
    return notebook


def _shown(output: Any) -> Any:
    """An output as it is kept; None of what goes to standard error, which is progress."""
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = _CONTROL.sub("", output.text)
        return output
    data = output.get("data", {})
    output.metadata = {}
    if "image/png" in data:
        with Image.open(io.BytesIO(base64.b64decode(data["image/png"])), formats=["PNG"]) as picture:
            flat = picture.convert("RGB")
        flat.thumbnail((WIDEST, WIDEST * 4))
        buffer = io.BytesIO()
        flat.save(buffer, "JPEG", quality=QUALITY, optimize=True)
        if len(buffer.getvalue()) < len(base64.b64decode(data["image/png"])):
            del data["image/png"]
            data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()
    return output
