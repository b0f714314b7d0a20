"""Ctrl-C ends a command also where Python would drop it."""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any, Final

SOON: Final = 0.05
"""Seconds until an interrupt that was dropped is raised again, outside of what dropped it."""


def keep_interrupts() -> None:
    """Raise again what is raised in the callback of a weak reference or in a finaliser, which Python only reports.

    PyTorch and our own memory of models have many of them, so one Ctrl-C in ten would be lost.
    """
    report = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = threading.Timer(SOON, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            report(unraisable)

    sys.unraisablehook = hook
