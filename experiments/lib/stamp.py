"""What a table was measured with: the one stamp of every report, and the line that tells it below every table."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
import torchvision

import mmcam

ROOT: Final = Path(__file__).parents[2]
STAMP: Final = ("command", "versions", "device", "threads", "commit", "pictures", "seed")
"""The keys of a stamp."""


def stamp(
    command: str,
    *,
    pictures: int | None = None,
    seed: int | None = None,
    device: str = "cpu",
    libraries: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The beginning of a report: what its figures were measured with.

    Args:
        command: what makes the table again.
        pictures: how many were looked at; None where there are none to count.
        seed: of what is drawn at random (weights, noise, resampling); None where nothing is.
        device: "cpu" or "cuda", on which the models are.
        libraries: distributions whose versions the figures depend on, too, as "captum".
    """
    versions = {"mmcam": mmcam.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
    versions |= {name: version(name) for name in libraries}
    return {
        "command": command,
        "versions": {**versions, "python": platform.python_version()},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "commit": commit(),
        "pictures": pictures,
        "seed": seed,
    }


def line_of(report: Mapping[str, Any]) -> str:
    """The stamp of a report as the last line of its page."""
    threads, pictures = report["threads"], report["pictures"]
    parts = [f"{name} {number}" for name, number in report["versions"].items()]
    parts += [report["device"], f"{threads} thread{'s' * (threads != 1)}"]
    if report["commit"]:
        parts.append(f"commit {report['commit']}")
    if pictures is not None:
        parts.append(f"{pictures:,} picture{'s' * (pictures != 1)}")
    if report["seed"] is not None:
        parts.append(f"seed {report['seed']}")
    return f"Measured with {', '.join(parts)}."


def device_name(device: str) -> str:
    """The name of the processor, or of the current CUDA device."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows the processor's kind only
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


@functools.cache
def commit() -> str:
    """The short hash of the checkout, with "-dirty" where files other than results have changed; "" outside of one."""
    if not (ROOT / ".git").exists():
        return ""  # Git would tell of a checkout that this folder happens to lie in
    short = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)experiments/results")
    return short + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
