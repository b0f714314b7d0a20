"""Memory of a process: kept from one step to the next, and the peak of one call."""

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

APART = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Environment of a process whose every tensor is given back to the system when it is freed."""


def keep_freed_memory() -> None:
    """Let glibc keep what it frees: each step and map wants the same blocks; mapping them is a quarter of it."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own mapping
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: give nothing back


def peak_printed_by(arguments: list[str], what: str) -> float:
    """The last thing that ``python -m`` with these arguments prints, a `peak_of`, in a process of its own.

    Raises:
        RuntimeError: it failed; the message names what was measured and repeats its last line.
    """
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, env=os.environ | APART, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def peak_of(run: Callable[[], object], device: str = "cpu") -> float:
    """MB that a second call takes above what is there before it; meant for a fresh process, with `APART`."""
    run()  # the first run also loads code and fills caches
    if device == "cuda":
        torch.cuda.synchronize()
        allocated = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - allocated) / 1e6
    gc.collect()
    before = _memory("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    except OSError as error:
        raise SystemExit(f"Peak memory cannot be measured on this system ({error}); run with --no-memory.") from error
    run()
    return _memory("VmHWM") - before


def _memory(field: str) -> float:
    """A figure of this process's memory in MB, as Linux keeps it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000
