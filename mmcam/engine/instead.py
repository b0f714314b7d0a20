"""Other forwards in place of some modules' own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn


@contextlib.contextmanager
def instead(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Other forwards in place of some modules' own, whose hooks run as ever; for this thread alone."""
    thread = threading.get_ident()

    def of_thread(forward: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: (forward if threading.get_ident() == thread else original)(*args, **kwargs)

    before = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = of_thread(forward, module.forward)
        yield
    finally:
        for module, found in before.items():
            if found is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = found
