"""Leave torch's random state as it was found, without rewinding it under the hands of other threads.

torch has one generator a device for all threads. Whoever sets it back after a pass makes other threads draw the same
numbers again, so it is set back only where this thread has drawn: mmcam's own noise comes from generators of its own,
and most models draw nothing in evaluation mode.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def random_state_kept(model: nn.Module) -> Iterator[None]:
    """The default generators as they were found, if this thread moved them.

    With no other thread at work every change is this one's. With others, the operations that draw are watched.

    Args:
        model: what runs inside; the CUDA devices of its weights may be drawn on.
    """
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    found = _states(devices)
    alone = threading.active_count() == 1
    watch = _Draws(devices)
    try:
        with contextlib.nullcontext() if alone else watch:
            yield
    finally:
        if alone or watch.drew:
            torch.set_rng_state(found[0])
            for device, state in zip(devices, found[1:], strict=True):
                torch.cuda.set_rng_state(state, device)


class _Draws(TorchDispatchMode):
    """Whether an operation of this thread moves a default generator; modes are a thread's own."""

    def __init__(self, devices: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices, self.drew = devices, False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, for seconds, to turn it off in here, where nothing is compiled

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        own = (kwargs or {}).get("generator")
        draws = torch.Tag.nondeterministic_seeded in func.tags and (own is None or self._is_default(own))
        if self.drew or not draws:
            return func(*args, **(kwargs or {}))
        # It may yet draw nothing, as an RNN without dropout.
        before = _states(self.devices)
        result = func(*args, **(kwargs or {}))
        self.drew = any(not torch.equal(old, new) for old, new in zip(before, _states(self.devices), strict=True))
        return result

    def _is_default(self, generator: torch.Generator) -> bool:
        return generator in (torch.default_generator, *(torch.cuda.default_generators[i] for i in self.devices))


def _states(devices: Sequence[int]) -> list[Tensor]:
    """The CPU's generator and those of some CUDA devices."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]
