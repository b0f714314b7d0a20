"""Ctrl-C at a hundred random moments of ``mmcam explain``: how does it end, and what is left?

    python -m experiments.checks.interrupts

A process that has loaded everything forks; the child runs the command, and is sent SIGINT at a moment drawn evenly
between its start and the time that an undisturbed one takes. It has to end with exit code 130 (or 0, where it was done
before), without a traceback, and each file that is there has to be whole: the same bytes as those of an undisturbed
run, and none under a passing name. The exit code is 1 where one is not.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.cli import app
from mmcam.datasets.photographs import shipped

ARGUMENTS: Final = ("explain", str(shipped().path), "--model", "vignette-captioner", "--caption")


def main(
    number: Annotated[int, typer.Option(min=1, help="Interrupted runs.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write interrupts.json and .md."""
    with tempfile.TemporaryDirectory() as folder:
        app([*ARGUMENTS, "--out", folder], standalone_mode=False)  # loads what is loaded
    moments = random.Random(seed)
    rows: list[dict[str, Any]] = []
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        code, said = disturbed(Path(folder) / "whole", None)
        takes = time.monotonic() - begun
        whole = contents(Path(folder) / "whole")
        if code or not whole:
            raise SystemExit(f"The undisturbed command ended with exit code {code}: {said[-200:]}")
        for run in range(number):
            at = moments.uniform(0, takes)
            place = Path(folder) / str(run)
            code, said = disturbed(place, at)
            there = contents(place)
            broken = sorted(name for name, content in there.items() if whole.get(name) != content)
            wrong = code not in (0, 130) or "Traceback" in said or bool(broken)
            bad += wrong
            rows.append(
                {
                    "at": at,
                    "code": code,
                    "files": len(there),
                    "broken": broken,
                    "said": said[max(said.find("Traceback") - 200, 0) :][:1500] if wrong else "",
                }
            )
    codes = Counter(str(row["code"]) for row in rows)
    command = f"python -m experiments.checks.interrupts --number {number}"
    show(
        out / "interrupts",
        {**stamp(command), "rows": rows, "seconds of one": takes, "files of one": len(whole), "wrong": bad},
        ("exit code", "runs", "of them with files", "broken files"),
        [
            [
                code,
                str(times),
                str(sum(row["files"] > 0 for row in rows if str(row["code"]) == code)),
                str(sum(len(row["broken"]) for row in rows if str(row["code"]) == code)),
            ]
            for code, times in sorted(codes.items())
        ],
        [f"`{command}`"],
        ["", f"{number} runs of {takes:.1f} s, each interrupted once; {bad} ended wrongly."],
    )
    raise typer.Exit(1 if bad else 0)


def disturbed(place: Path, after: float | None) -> tuple[int, str]:
    """Exit code and output of the command in a fork, which gets SIGINT after some seconds, or never."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = os.fdopen(write, "w", buffering=1)  # what was a file may be sought in, a pipe not
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            app([*ARGUMENTS, "--out", str(place)])
        except SystemExit as ending:
            os._exit(ending.code if isinstance(ending.code, int) else int(bool(ending.code)))
        except BaseException as error:  # what an interpreter would print
            os.write(write, f"Traceback: {error!r}".encode())
            os._exit(130 if isinstance(error, KeyboardInterrupt) else 1)
        os._exit(0)
    os.close(write)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGINT)
    said = b""
    while part := os.read(read, 65536):
        said += part
    os.close(read)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace")


def contents(place: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


if __name__ == "__main__":
    typer.run(main)
