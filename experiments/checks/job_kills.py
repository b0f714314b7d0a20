"""Is a job whole after it was killed at any moment, or its disk was full? Fifty kills and a disk that fills thrice.

    python -m experiments.checks.job_kills    # some five minutes

A job of 300 small pictures, two of them broken, is killed with SIGKILL again and again until it is done: in a third of
the kills after a random time, in a third in the middle of a file, after a random number of its bytes, in a third the
command with two processes that open pictures, a random time after it wrote something. Then the same with a tmpfs of
300 kB, which needs the rights to mount one. What is there in the end is compared with the job that nobody disturbed:
the same rows, each once, and the same bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import mmcam
from experiments.lib.job_pictures import write_small
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.jobs.plan import Plan
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source
from mmcam.jobs.wanted import Wanted

NETWORK = "experiments.lib.job_pictures:network"
PICTURES, SHARD = 300, 10
COLUMNS = ("disturbed", "times", "parts when disturbed", "rows", "twice or missing", "bytes as undisturbed")


def main(
    kills: Annotated[int, typer.Option(help="Of each of the three kinds, a third.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write job-kills.json and .md."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write_small(base / "photos", PICTURES)
        for n in (7, 123):
            (base / "photos" / "0000" / f"{n:07d}.jpg").write_bytes(b"no picture")
        start = time.perf_counter()
        work(base / "photos", base / "whole")
        whole = time.perf_counter() - start
        kinds: dict[str, Callable[[Path], None]] = {
            "kill -9 after a random time": lambda at: killed_process(base, at, moments.uniform(0.2, 1.2) * whole / 3),
            "kill -9 in the middle of a file": lambda at: killed_in_a_file(base, at, moments),
            "kill -9 of the command, two processes": lambda at: killed_command(base, at, moments.uniform(0, 0.5)),
        }
        rows = []
        for number, (kind, once) in enumerate(kinds.items()):
            times = kills // 3 + (number < kills % 3)
            rows.append(disturbed(base, kind, times, once))
        rows.append(disturbed(base, "a disk that is full", 3, lambda at: full_disk(base, at)))
    command = f"python -m experiments.checks.job_kills --kills {kills} --seed {seed}"
    cells = [[str(row[key]) for key in ("kind", "times", "parts", "rows", "wrong", "same")] for row in rows]
    report = {**stamp(command, pictures=PICTURES, seed=seed, libraries=("pyarrow",)), "rows": rows}
    show(Path(out) / "job-kills", report, COLUMNS, cells, [f"`{command}`"])


def disturbed(base: Path, kind: str, times: int, once: Callable[[Path], None]) -> dict[str, Any]:
    """A job that is disturbed so often, begun anew when it is done before that, and then let alone."""
    parts: list[int] = []
    wrong = 0
    same = True
    job = base / "job"
    for number in range(times):
        once(job)
        there = len(list((job / "results").glob("part-*.parquet")))
        parts.append(there)
        if there * SHARD >= PICTURES or number == times - 1:
            work(base / "photos", job)
            wrong += wrong_rows(base / "whole", job)
            same &= contents(job) == contents(base / "whole")
            shutil.rmtree(job)
    rows = len(mmcam.jobs.open(base / "whole"))
    return {"kind": kind, "times": times, "parts": f"{min(parts)}–{max(parts)}", "rows": rows, "wrong": wrong,
            "same": "yes" if same else "no"}  # fmt: skip


def work(photos: Path, job: Path) -> None:
    """The job, to its end or until something ends it."""
    plan = Plan(Wanted("class", {"gradcam": {}}, how={"layer": None}), NETWORK, batch=10, shard=SHARD)
    run(plan, read_source(str(photos)), str(job), tell=lambda text: None)


def killed_process(base: Path, job: Path, seconds: float) -> None:
    """Kill a process that works, after so many seconds."""
    child = multiprocessing.get_context("fork").Process(target=work, args=(base / "photos", job))
    child.start()
    child.join(seconds)
    child.kill()
    child.join()


def killed_in_a_file(base: Path, job: Path, moments: random.Random) -> None:
    """Kill a process while it writes one of its files: some bytes are there, and the name is not yet."""
    file, share = moments.randrange(0, PICTURES // SHARD), moments.random()

    def child() -> None:
        written, put = [0], os.fdopen

        def opened(handle: int, mode: str) -> Any:
            inner = put(handle, mode)
            written[0] += 1
            if written[0] <= file:
                return inner
            write = inner.write

            class Cut:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *raised: Any) -> None:
                    inner.close()

                def write(self, content: bytes) -> None:
                    write(content[: int(share * len(content))])
                    inner.flush()
                    os.kill(os.getpid(), signal.SIGKILL)

            return Cut()

        os.fdopen = opened  # type: ignore[assignment]
        work(base / "photos", job)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()


def words(base: Path, job: Path) -> list[str]:
    """The command."""
    given = ["run", "class", "--images", base / "photos", "--model", NETWORK, "--out", job, "--batch", 10]
    return [sys.executable, "-m", "mmcam", *map(str, given), "--shard", str(SHARD), "--workers", "2"]


def killed_command(base: Path, job: Path, seconds: float) -> None:
    """Kill the command so many seconds after it wrote something; the processes that open pictures are left alone."""
    process = subprocess.Popen(words(base, job), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = len(list((job / "results").glob("part-*.parquet")))
    while process.poll() is None and len(list((job / "results").glob("part-*.parquet"))) == before:
        time.sleep(0.005)
    time.sleep(seconds)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    openers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    process.kill()
    process.wait()
    for _ in range(300):  # a process that has just begun ends once it has loaded what it needs
        if not any(Path(f"/proc/{pid}").exists() for pid in openers):
            return
        time.sleep(0.1)
    raise SystemExit(f"Processes {openers} that opened pictures are still there.")


def full_disk(base: Path, job: Path) -> None:
    """Let the job write to a disk of 300 kB; it has to end by itself, with what is whole in its place."""
    disk = base / "disk"
    disk.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        raise SystemExit("A tmpfs cannot be mounted here; run this as root.")
    try:
        if job.exists():
            shutil.copytree(job, disk / "job")
        done = subprocess.run(words(base, disk / "job"), capture_output=True, text=True)
        if done.returncode != 1 or "No space left" not in done.stderr or "Traceback" in done.stderr:
            raise SystemExit(f"The job ended with {done.returncode}: {done.stderr[-300:]}")
        shutil.rmtree(job, ignore_errors=True)
        shutil.copytree(disk / "job", job)
    finally:
        subprocess.run(["umount", disk], check=True)


def contents(job: Path) -> dict[str, bytes]:
    """The tables of a job, byte by byte."""
    return {str(file.relative_to(job)): file.read_bytes() for file in sorted(job.rglob("*.parquet"))}


def wrong_rows(whole: Path, job: Path) -> int:
    """How many (picture, method, target) are there other than once, or not as in the undisturbed job."""
    columns = ["id", "method", "asked", "kind", "position"]
    counts = [mmcam.jobs.open(each).to_pandas(columns).value_counts(dropna=False) for each in (whole, job)]
    return int((counts[0].sub(counts[1], fill_value=0) != 0).sum() + (counts[1] > 1).sum())


if __name__ == "__main__":
    typer.run(main)
