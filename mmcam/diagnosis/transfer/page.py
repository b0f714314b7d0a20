"""The report as one HTML file that needs nothing else, no network either."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from mmcam.diagnosis.transfer.findings import percent
from mmcam.diagnosis.transfer.report import Report
from mmcam.drawing.saving import save_as
from mmcam.report.spotlight import data_uri
from mmcam.report.templates import rendered
from mmcam.version import __version__

QUALITY = 78


def write_page(path: Path, report: Report) -> Path:
    """Write a report; a file that is there is replaced.

    Raises:
        ExplainError: no ``.html`` path, or a place where nothing can be written.
    """
    filters = {"percent": percent, "uri": _uri}
    text = rendered("diagnosis/transfer/report.html.jinja", filters, report=report, version=__version__)
    content = text.encode("utf-8", "backslashreplace")
    return save_as(path, {".html": lambda file: file.write(content)}, "a page is an .html file")


def _uri(picture: Image.Image) -> str:
    return data_uri(picture, QUALITY)
