"""A study for other places: a folder that any server can host, Amazon Mechanical Turk, and Prolific."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from mmcam.errors import ExplainError
from mmcam.files import json_text
from mmcam.studies.answers import ORDERS, order_of
from mmcam.studies.design import STIMULI, read_design, read_key
from mmcam.studies.page import OWN, PAGE, SCRIPTS, VENDOR, page
from mmcam.studies.plans import plan, rows, shown

_XSD: Final = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd"
_FRAME: Final = 800
"""Pixels of the frame's height."""


def static(folder: Path, out: Path) -> Path:
    """A study as files alone: raters' answers stay in their browsers, and each saves a file and sends it in.

    The page holds every row of the plan, and learns of it no more than of a server: what methods, models and right
    answers are is not in the folder.

    Raises:
        ExplainError: no study.
        FileExistsError: there is something at `out`.
    """
    design, key = read_design(folder), read_key(folder)
    _new(out)
    plans = [
        [shown(design, step) for step in plan(design, key, number % rows(design), order_of(number))]
        for number in range(rows(design) * ORDERS)
    ]
    shutil.copytree(folder / STIMULI, out / STIMULI)
    for name, own, files in (("vendor", VENDOR, [*SCRIPTS, "README.md"]), ("page", PAGE, OWN)):
        (out / name).mkdir()
        for file in files:
            shutil.copyfile(own / file, out / name / file)
    (out / "index.html").write_text(page(design, key, plans), encoding="utf-8")
    return out


def mechanical_turk(folder: Path, url: str, raters: int, out: Path) -> Path:
    """What Mechanical Turk needs: question.xml and hit.json for its API, hits.csv and layout.html for its web pages.

    Args:
        folder: of the study.
        url: where `mmcam study serve` is reached; https, since Mechanical Turk shows it in a frame.
        raters: how many.
        out: a new folder.

    Raises:
        ExplainError: no study, or an address that is not https.
        FileExistsError: there is something at `out`.
    """
    design, address = read_design(folder), _address(url)
    _new(out)
    question = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ExternalQuestion xmlns="{_XSD}">\n'
        f"  <ExternalURL>{escape(address)}</ExternalURL>\n  <FrameHeight>{_FRAME}</FrameHeight>\n</ExternalQuestion>\n"
    )
    hit = {
        "Title": design.title,
        "Description": f"Answer one question about each of {design.per_rater} pictures made by computer programs.",
        "Keywords": "pictures, study, images, research",
        "Reward": "TO FILL IN, in US dollars: 2.50",
        "MaxAssignments": raters,
        "AssignmentDurationInSeconds": 60 * max(30, 4 * design.minutes),
        "LifetimeInSeconds": 7 * 24 * 3600,
        "Question": question,
    }
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["study_url"], [address]])
    layout = (
        '<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>\n<crowd-form>\n'
        f"<p>{escape(design.title)} It takes about {design.minutes} minutes.</p>\n"
        '<p><a href="${study_url}" target="_blank">Open the study</a>, and write the code that it ends with here:</p>\n'
        '<crowd-input name="code" label="Completion code" required></crowd-input>\n</crowd-form>\n'
    )
    return _written(
        out,
        {
            "question.xml": question,
            "hit.json": json_text(hit, indent=1) + "\n",
            "hits.csv": table.getvalue(),
            "layout.html": layout,
        },
    )


def prolific(folder: Path, url: str, raters: int, out: Path) -> Path:
    """What Prolific needs: study.json for its API, whose address and code go into its web form as well.

    Args:
        folder, url, raters, out: as in `mechanical_turk`.

    Raises:
        ExplainError, FileExistsError: as in `mechanical_turk`.
    """
    design, address = read_design(folder), _address(url)
    _new(out)
    ids = "&".join(f"{name}={{{{%{name}%}}}}" for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))
    study = {
        "name": design.title,
        "description": "\n\n".join(design.consent),
        "external_study_url": f"{address}?{ids}",
        "prolific_id_option": "url_parameters",
        "completion_codes": [
            {"code": design.completion_code, "code_type": "COMPLETED", "actions": [{"action": "MANUALLY_REVIEW"}]}
        ],
        "estimated_completion_time": design.minutes,
        "reward": "TO FILL IN, in the cents of your currency: 150",
        "total_available_places": raters,
        "device_compatibility": ["desktop", "tablet", "mobile"],
    }
    return _written(out, {"study.json": json_text(study, indent=1) + "\n"})


def _address(url: str) -> str:
    """An address that raters' browsers can open, with a path.

    Raises:
        ExplainError: it is no such address, or not https.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or re.search(r"\s|[<>\"]", url):
        raise ExplainError(f"{url!r} is no address for raters; name that of the server, as https://study.example.org/.")
    return f"https://{parts.hostname}{'' if port is None else f':{port}'}{parts.path or '/'}"


def _new(out: Path) -> None:
    if os.path.lexists(out):
        raise FileExistsError(f"{out} is there already; name another place, or remove it first.")


def _written(out: Path, files: dict[str, str]) -> Path:
    out.mkdir(parents=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return out
