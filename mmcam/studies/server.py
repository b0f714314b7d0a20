"""The server of a study: hands out the page and each rater's trials, and keeps answers.

::

    GET  /              the page
    POST /api/session   {source, rater, details} → {session, trials, answered, code}
    POST /api/answers   {session, answers: [{id, trial, choice, ms}]} → {kept: [id]}, when they are on the disk
    POST /api/finish    {session} → {code}
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from mmcam.studies.design import STIMULI, read_design, read_key
from mmcam.studies.page import PAGE, VENDOR, page
from mmcam.studies.plans import Step, plan, rows, shown
from mmcam.studies.store import Answer, Session, Store

MOST: Final = 64 * 1024
"""Bytes of a request."""
POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self' https://www.mturk.com https://workersandbox.mturk.com; "
    "frame-ancestors 'self' https://*.mturk.com"
)
"""The page asks no other machine for anything; Mechanical Turk may show it in a frame and takes its form."""

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Begin(BaseModel):
    """Who begins, or comes back."""

    model_config = ConfigDict(extra="forbid")
    source: Literal["prolific", "mturk", "link", "simulated"]
    rater: Name
    details: dict[Name, Annotated[str, Field(max_length=200)]] = Field(default_factory=dict, max_length=8)


class One(BaseModel):
    """An answer (see `mmcam.studies.store.Answer`)."""

    model_config = ConfigDict(extra="forbid")
    id: Name
    trial: Name
    choice: Annotated[int, Field(ge=0, le=20)]
    ms: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Answers(BaseModel):
    """Answers of a session."""

    model_config = ConfigDict(extra="forbid")
    session: Name
    answers: Annotated[list[One], Field(max_length=200)]


class Finish(BaseModel):
    """The end of a session."""

    model_config = ConfigDict(extra="forbid")
    session: Name


def create_app(folder: Path) -> FastAPI:
    """The server of a study's folder.

    Raises:
        ExplainError: it is no study, or its design was changed after answers were begun.
    """
    design, key = read_design(folder), read_key(folder)
    store = Store(folder, design)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    html = page(design, key)

    @app.middleware("http")
    async def guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.method == "POST" and int(request.headers.get("content-length") or MOST + 1) > MOST:
            return JSONResponse({"detail": "The request is too long."}, 413)
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @app.get("/", response_class=HTMLResponse)
    def index() -> str:
        return html

    @app.post("/api/session")
    def session(begin: Begin) -> dict[str, Any]:
        found = store.session_of(begin.source, begin.rater)
        if found is None:
            row = random.choice(store.fewest(rows(design), begin.source))
            steps = plan(design, key, row, secrets.token_hex(8))
            trials = [(step.trial.token, step.swapped) for step in steps]
            code = design.completion_code if begin.source == "prolific" else secrets.token_hex(4).upper()
            found = store.begin(begin.source, begin.rater, begin.details, row, trials, code)
        return {
            "session": found.session,
            "trials": [shown(design, Step(key[token], swapped)) for token, swapped in found.trials],
            "answered": [answer.trial for answer in store.answers(found.session)],
            "code": found.code if found.finished else None,
        }

    @app.post("/api/answers")
    def answers(sent: Answers) -> dict[str, list[str]]:
        own = {token for token, _ in _known(store, sent.session).trials}
        for one in sent.answers:
            if one.trial not in own or one.choice >= len(key[one.trial].choices):
                raise HTTPException(422, "An answer is to none of this session's trials.")
        store.add(sent.session, [Answer(one.id, one.trial, one.choice, one.ms) for one in sent.answers])
        return {"kept": [one.id for one in sent.answers]}

    @app.post("/api/finish")
    def finish(sent: Finish) -> dict[str, str]:
        found = _known(store, sent.session)
        if missing := {token for token, _ in found.trials} - {one.trial for one in store.answers(found.session)}:
            raise HTTPException(409, f"{len(missing)} answers are missing.")
        store.finish(found.session)
        return {"code": found.code}

    app.mount("/stimuli", StaticFiles(directory=folder / STIMULI))
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/vendor", StaticFiles(directory=VENDOR))
    return app


def _known(store: Store, session: str) -> Session:
    found = store.session(session)
    if found is None:
        raise HTTPException(404, "There is no such session.")
    return found
