"""The page that raters see: one HTML file with the study's texts, beside the timeline's script and jsPsych."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mmcam.report.templates import rendered
from mmcam.studies.design import Design, Trial

PAGE: Final = Path(__file__).parent
VENDOR: Final = PAGE.parent / "vendor"
SCRIPTS: Final = (
    "jspsych-8.3.0.min.js",
    "plugin-html-button-response-2.1.0.min.js",
    "plugin-instructions-2.1.0.min.js",
    "plugin-preload-2.1.0.min.js",
)
"""jsPsych and the plugins of the timeline, in `VENDOR`."""
OWN: Final = ("study.css", "answers.js", "screens.js", "study.js")


def page(design: Design, key: Mapping[str, Trial], plans: list[Any] | None = None) -> str:
    """The HTML of a study's page.

    Args:
        design: of the study.
        key: its trials; the page learns of them only how they look.
        plans: of a folder without a server, of every row what is shown; None where a server hands them out.
    """
    told: dict[str, Any] = {
        "id": design.id,
        "title": design.title,
        "consent": list(design.consent),
        "instructions": [page.split("\n") for page in design.instructions],
        "completion": design.completion_code if plans is not None else "",
        "images": sorted({len(trial.images) for trial in key.values()})[-1],
    }
    if plans is not None:
        told["plans"] = plans
    return rendered("studies/page/study.html.jinja", {}, title=design.title, scripts=SCRIPTS, told=told)
