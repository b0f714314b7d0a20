"""The wheel in clean environments: does it install and run, how large is it, how long does it take to import?

    python -m release.environments --python python3.11 --python python3.12 --python python3.13
    python -m release.environments --python python3.11 --lowest                # the lowest versions that are allowed
    python -m release.environments --python python3.11 --extras jobs,study     # each over the core, in one of its own

An environment with torch takes about 6 GB, so they are made under ``--room``, one for each Python, and removed again;
an extra is an environment that sees its core's packages and adds its own. In each, ``mmcam demo`` has to end well, away
from this checkout; for an extra, its packages have to be importable beside mmcam. ``uv`` makes them (``pip install
uv``): it shares one download among them, and can choose the lowest versions.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

from release.build import ROOT, build

ROUNDS: Final = 5
IMPORT: Final = "import time; begun = time.perf_counter(); import {what}; print(time.perf_counter() - begun)"
TOPS: Final = """
import importlib, importlib.metadata as metadata, sys
for name in sys.argv[1:]:
    files = metadata.distribution(name).files or ()
    tops = {file.parts[0] for file in files if len(file.parts) == 2 and file.name == "__init__.py"}
    for top in sorted(tops - {"tests", "test", "docs"})[:1]:
        importlib.import_module(top)
import mmcam
"""
"""Imports the first package of each distribution that is named."""


def main(
    python: Annotated[list[str], typer.Option(help="An interpreter; may be repeated.")],
    lowest: Annotated[bool, typer.Option("--lowest", help="The lowest versions of direct dependencies.")] = False,
    extras: Annotated[str, typer.Option(help="Extras, each over the core, with commas between them.")] = "",
    room: Annotated[Path | None, typer.Option(help="Folder for the environments; default a passing one.")] = None,
) -> None:
    """Print a table; exit code 1 where an environment fails."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=room) as folder:
        wheel = build(ROOT, "wheel", Path(folder))
        for interpreter in python:
            core = Path(folder) / "core"
            what = "lowest" if lowest else "core"
            rows.append({"python": interpreter, "what": what, **tried(core, interpreter, wheel, lowest)})
            for extra in filter(None, extras.split(",")):
                over = Path(folder) / extra
                rows.append({"python": interpreter, "what": extra, **added(over, core, interpreter, wheel, extra)})
                shutil.rmtree(over)
            shutil.rmtree(core)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console(width=160).print(table)
    raise typer.Exit(any(row["fails"] for row in rows))


def tried(place: Path, interpreter: str, wheel: Path, lowest: bool) -> dict[str, Any]:
    """The core in a fresh environment."""
    uv("venv", "--quiet", "--seed", "--python", interpreter, str(place))
    options = ["--resolution", "lowest-direct", *project()["dependencies"]] if lowest else []
    uv("pip", "install", "--quiet", "--python", str(place / "bin" / "python"), str(wheel), *options)
    done = ran(place, place, "-m", "mmcam", "demo", "--out", "out")
    return {
        "torch": ran(place, place, "-c", "import torch; print(torch.__version__)").stdout.strip(),
        "GB": f"{size(place) / 1e9:.1f}",
        "import mmcam, s": f"{seconds(place, 'mmcam'):.2f}",
        "import torch, s": f"{seconds(place, 'torch'):.2f}",
        "fails": "" if not done.returncode else last(done),
    }


def added(place: Path, core: Path, interpreter: str, wheel: Path, extra: str) -> dict[str, Any]:
    """An extra in an environment that sees the core's packages."""
    uv("venv", "--quiet", "--seed", "--python", interpreter, str(place))
    (inside,) = place.glob("lib/python*/site-packages")
    (below,) = core.glob("lib/python*/site-packages")
    (inside / "core.pth").write_text(f"{below}\n")
    installed = ran(place, place, "-m", "pip", "install", "--quiet", f"mmcam[{extra}] @ {wheel.resolve().as_uri()}")
    if installed.returncode:
        return {"fails": last(installed)}
    direct = [Requirement(each) for each in project()["optional-dependencies"][extra]]
    names = [each.name for each in direct if each.name != "mmcam" and (each.marker is None or each.marker.evaluate())]
    done = ran(place, place, "-c", TOPS, *names)
    return {"GB": f"{size(place) / 1e9:.1f}", "fails": "" if not done.returncode else last(done)}


def project() -> dict[str, Any]:
    """The table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def seconds(place: Path, what: str) -> float:
    """Of an import in a process of its own, the median; the first one, which reads from the disk, does not count."""
    times = [float(ran(place, place, "-c", IMPORT.format(what=what)).stdout) for _ in range(ROUNDS + 1)]
    return statistics.median(times[1:])


def ran(place: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An environment's Python, which sees nothing of this checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(place / "bin" / "python"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )


def last(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what went wrong."""
    return ((done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]


def size(place: Path) -> int:
    """Bytes below a folder."""
    return sum(path.lstat().st_size for path in place.rglob("*"))


def uv(*arguments: str) -> None:
    """Run uv, which has to be installed."""
    program = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    subprocess.run([program, *arguments], check=True)


if __name__ == "__main__":
    typer.run(main)
