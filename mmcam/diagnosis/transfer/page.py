"""The report as one HTML file that needs nothing else, no network either."""

from __future__ import annotations

from pathlib import Path

from mmcam.diagnosis.transfer.findings import percent
from mmcam.diagnosis.transfer.report import Report
from mmcam.drawing.saving import save_as
from mmcam.report.spotlight import data_uri
from mmcam.version import __version__

QUALITY = 78


def write_page(path: Path, report: Report) -> Path:
    """Write a report; a file that is there is replaced.

    Raises:
        ExplainError: no ``.html`` path, or a place where nothing can be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmcam", "diagnosis/transfer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "uri": lambda picture: data_uri(picture, QUALITY)}
    text = environment.get_template("report.html.jinja").render(report=report, version=__version__)
    content = text.encode("utf-8", "backslashreplace")
    return save_as(path, {".html": lambda file: file.write(content)}, "a page is an .html file")
