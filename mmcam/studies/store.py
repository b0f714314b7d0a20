"""What raters answered, in SQLite: an answer is there once, and is acknowledged when it is on the disk.

Each answer has an id that the page made, and is one to a trial of a session: sent again, after a lost acknowledgement,
from another tab, or after the server was killed, it changes nothing. ``synchronous=FULL`` lets no commit return before
the disk has it; the write-ahead log lets the analysis read meanwhile.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmcam.errors import ExplainError
from mmcam.studies.design import ANSWERS, Design

STALE: Final = 3 * 3600
"""Seconds after which someone who has not finished is no longer expected to."""
SIMULATED: Final = "simulated"
"""The source of sessions that no person had."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS study (id TEXT PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    session TEXT PRIMARY KEY, source TEXT NOT NULL, rater TEXT NOT NULL, details TEXT NOT NULL, plan INTEGER NOT NULL,
    trials TEXT NOT NULL, code TEXT NOT NULL, started REAL NOT NULL, finished REAL, UNIQUE (source, rater));
CREATE TABLE IF NOT EXISTS answers (
    id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions, trial TEXT NOT NULL, choice INTEGER NOT NULL,
    ms REAL NOT NULL, received REAL NOT NULL, UNIQUE (session, trial));
"""


@dataclass(frozen=True)
class Session:
    """A rater's way through the study.

    Attributes:
        session: its secret name.
        source: "prolific", "mturk", "link", "static" or "simulated".
        rater: the platform's ID of the rater, or one that the page drew.
        details: further IDs of the platform.
        plan: row of the plan (see `mmcam.studies.plans`).
        trials: (token, swapped) in their order.
        code: that shows that he finished.
        started, finished: seconds since 1970; None while he is at it.
    """

    session: str
    source: str
    rater: str
    details: dict[str, str]
    plan: int
    trials: tuple[tuple[str, bool], ...]
    code: str
    started: float
    finished: float | None


@dataclass(frozen=True)
class Answer:
    """An answer as the page sends it: its id, the trial's token, the number of the choice as shown, milliseconds."""

    id: str
    trial: str
    choice: int
    ms: float


class Store:
    """The answers of a study; safe with threads, and with other processes at the same file."""

    def __init__(self, folder: Path, design: Design) -> None:
        """Open, or begin, the answers of a study.

        Raises:
            ExplainError: the design was changed after answers were begun, or the file is no such database.
        """
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / ANSWERS, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLES)
            self._db.execute("DELETE FROM study WHERE NOT EXISTS (SELECT 1 FROM sessions)")
            new = (design.id, design.digest())
            self._db.execute("INSERT OR IGNORE INTO study SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM study)", new)
            kept = self._db.execute("SELECT id, digest FROM study").fetchone()
        except sqlite3.DatabaseError as error:
            raise ExplainError(f"{folder / ANSWERS} cannot be used ({error}); is it another file?") from error
        if kept != new:
            raise ExplainError(
                f"The design of {folder} was changed after answers were begun, and rules made afterwards are no rules; "
                "put design.json back as it was, or build a new study."
            )

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def session_of(self, source: str, rater: str) -> Session | None:
        """The session of a rater."""
        with self._lock:
            return self._one("source = ? AND rater = ?", source, rater)

    def session(self, session: str) -> Session | None:
        """A session by its name."""
        with self._lock:
            return self._one("session = ?", session)

    def fewest(self, rows: int, source: str) -> list[int]:
        """The rows that fewest sessions have which ended, or may yet; simulated raters are counted by themselves."""
        same = "=" if source == SIMULATED else "!="
        counted = f"source {same} ? AND (finished IS NOT NULL OR started > ?)"
        with self._lock:
            query = f"SELECT plan, COUNT(*) FROM sessions WHERE {counted} GROUP BY plan"
            counts = dict(self._db.execute(query, (SIMULATED, time.time() - STALE)).fetchall())
        least = min(counts.get(row, 0) for row in range(rows))
        return [row for row in range(rows) if counts.get(row, 0) == least]

    def begin(
        self, source: str, rater: str, details: dict[str, str], plan: int, trials: Sequence[tuple[str, bool]], code: str
    ) -> Session:
        """A new session, or that which the rater has already."""
        new = (secrets.token_urlsafe(16), source, rater, json.dumps(details), plan, json.dumps(trials), code)
        with self._lock:
            self._db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING", (*new, time.time())
            )
            found = self._one("source = ? AND rater = ?", source, rater)
        assert found is not None
        return found

    def add(self, session: str, answers: Sequence[Answer]) -> None:
        """Keep answers; when this returns they are on the disk. One that is there already stays as it is."""
        now = time.time()
        rows = [(one.id, session, one.trial, one.choice, one.ms, now) for one in answers]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def answers(self, session: str) -> list[Answer]:
        """The answers of a session."""
        with self._lock:
            found = self._db.execute("SELECT id, trial, choice, ms FROM answers WHERE session = ?", (session,))
            return [Answer(*row) for row in found.fetchall()]

    def finish(self, session: str, at: float | None = None) -> None:
        """The rater has reached the end; the first time counts."""
        with self._lock:
            when = time.time() if at is None else at
            self._db.execute("UPDATE sessions SET finished = COALESCE(finished, ?) WHERE session = ?", (when, session))

    def sessions(self) -> list[Session]:
        """All sessions, in the order in which they were begun."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM sessions ORDER BY started, session").fetchall()
        return [_session(row) for row in rows]

    def _one(self, where: str, *values: str) -> Session | None:
        row = self._db.execute(f"SELECT * FROM sessions WHERE {where}", values).fetchone()
        return None if row is None else _session(row)


def _session(row: tuple[Any, ...]) -> Session:
    name, source, rater, details, plan, trials, code, started, finished = row
    return Session(
        name, source, rater, json.loads(details), plan,
        tuple((str(token), bool(swapped)) for token, swapped in json.loads(trials)), code, started, finished,
    )  # fmt: skip
