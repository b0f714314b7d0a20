"""300 raters answer a study at once, and its server is killed (kill -9) and started again twice: is an answer lost?

Every rater is a coroutine that begins a session, answers one trial after the other, and sends an answer until it is
acknowledged, as the page does. When a quarter, and when six tenths, of all answers are acknowledged, the server's
process is killed and started anew. At the end the database is opened: every acknowledged answer has to be there, once.
The raters are load, and no answer of theirs means anything.

    python -m experiments.checks.study_load
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import numpy as np
import typer

import models
from experiments.lib.stamp import ROOT, stamp
from experiments.lib.tables import show
from mmcam.studies.build import Order, build
from mmcam.studies.design import ANSWERS
from mmcam.studies.store import Store

KILLS: Final = (0.25, 0.6)
"""Shares of all answers, acknowledged, at which the server is killed."""
PATIENCE: Final = 0.2
"""Seconds before a rater tries again."""


@dataclass
class Load:
    """What the raters saw.

    Attributes:
        kept: the id of every answer that was acknowledged, with (session, trial).
        waits: seconds from the first try of an answer to its acknowledgement.
        retries: requests that were sent again.
        total: answers there are to be.
        finished: raters who reached the end.
    """

    total: int = 0
    kept: dict[str, tuple[str, str]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    retries: int = 0
    finished: int = 0


class Server:
    """`mmcam study serve` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.command = [sys.executable, "-m", "mmcam", "study", "serve", str(folder), "--port", str(self.port)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; raters find out by themselves when it answers."""
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=10).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kill it without a word of warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def main(
    raters: Annotated[int, typer.Option(min=1, help="At once.")] = 300,
    items: Annotated[int, typer.Option(min=2, help="Of the study.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("runs/study-load"),
) -> None:
    """Let them answer, and write study-load.json and .md."""
    shutil.rmtree(work, ignore_errors=True)
    good = [("vignette-classifier", models.load("vignette-classifier"), None)]
    design = build(Order("discrimination", good, "vignettes", ("gradcam",), items), work)
    Store(work, design).close()
    server, load = Server(work), Load(total=raters * (design.per_rater + design.checks + 1))
    server.start()
    while not server.answers():
        time.sleep(0.1)
    began = time.perf_counter()
    asyncio.run(everyone(server, load, raters))
    seconds = time.perf_counter() - began
    server.kill()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = counted(work, load)
    figures = {
        "raters": raters, "answers": load.total, "acknowledged": len(load.kept), "finished": load.finished, **found,
        "kills": len(KILLS), "retries": load.retries, "seconds": seconds, "answers_per_second": load.total / seconds,
        "wait_median_ms": 1000 * float(np.median(load.waits)),
        "wait_95_ms": 1000 * float(np.quantile(load.waits, 0.95)),
        "wait_longest_s": max(load.waits),
        "server_cpu_s": used.ru_utime + used.ru_stime,
        "load_of_the_machine": os.getloadavg()[1],
    }  # fmt: skip
    command = f"python -m experiments.checks.study_load --raters {raters} --items {items}"
    report = {**stamp(command, libraries=("fastapi", "uvicorn", "httpx")), "rows": [figures]}
    cells = [
        [name.replace("_", " "), f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"]
        for name, value in figures.items()
    ]
    below = [
        "",
        "lost: acknowledged answers that the database does not have. doubled: answers to one trial of a session that "
        "it has more than once. Waits are from the first try to the acknowledgement, the time in which no server ran "
        "included. Raters, server and whatever else ran shared the machine's cores, for which so many processes "
        "waited on average (load of the machine); the server's CPU time, with its three starts, does not hang on that.",
    ]
    show(out / "study-load", report, ("", "value"), cells, [f"`{command}`"], below)
    if found["lost"] or found["doubled"] or len(load.kept) != load.total:
        raise SystemExit("Answers were lost or doubled.")


async def everyone(server: Server, load: Load, raters: int) -> None:
    """All raters at once, and beside them who kills the server."""
    limits = httpx.Limits(max_connections=raters, max_keepalive_connections=raters)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", limits=limits, timeout=60) as client:
        killer = asyncio.create_task(killing(server, load))
        await asyncio.gather(*(rater(client, load, number) for number in range(raters)))
        await killer


async def killing(server: Server, load: Load) -> None:
    """Kill the server, and start it again, twice."""
    for share in KILLS:
        while len(load.kept) < share * load.total:
            await asyncio.sleep(0.005)
        server.kill()
        await asyncio.sleep(1)
        server.start()


async def rater(client: httpx.AsyncClient, load: Load, number: int) -> None:
    """One rater, from the beginning to the end."""
    rng = random.Random(number)
    session = await sent(client, load, "session", {"source": "link", "rater": f"load {number}"})
    for trial in session["trials"]:
        answer = {
            "id": f"{number}-{trial['trial']}", "trial": trial["trial"], "choice": rng.randrange(2),
            "ms": rng.uniform(500, 5000),
        }  # fmt: skip
        began = time.perf_counter()
        done = await sent(client, load, "answers", {"session": session["session"], "answers": [answer]})
        assert done["kept"] == [answer["id"]]
        load.waits.append(time.perf_counter() - began)
        load.kept[answer["id"]] = session["session"], trial["trial"]
    await sent(client, load, "finish", {"session": session["session"]})
    load.finished += 1


async def sent(client: httpx.AsyncClient, load: Load, what: str, body: dict[str, Any]) -> Any:
    """Send until there is an answer."""
    while True:
        try:
            answer = await client.post(f"/api/{what}", json=body)
            if answer.status_code < 500:
                return answer.raise_for_status().json()
        except httpx.TransportError:
            pass
        load.retries += 1
        await asyncio.sleep(PATIENCE)


def counted(folder: Path, load: Load) -> dict[str, int]:
    """What the database has: answers, and of the acknowledged ones how many are lost, or there twice."""
    with sqlite3.connect(folder / ANSWERS) as db:
        rows = db.execute("SELECT id, session, trial FROM answers").fetchall()
        whole = db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    there = {name: (session, trial) for name, session, trial in rows}
    return {
        "stored": len(rows),
        "lost": sum(there.get(name) != where for name, where in load.kept.items()),
        "doubled": sum(count - 1 for count in Counter((session, trial) for _, session, trial in rows).values()),
        "database_whole": int(whole),
    }


if __name__ == "__main__":
    typer.run(main)
