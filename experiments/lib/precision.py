"""In which numbers the training scripts compute: bfloat16 where the CPU multiplies them, which halves the time.

Where it does not, torch emulates them, ten times slower than float32.
"""

from __future__ import annotations

from typing import Final

import torch

HALVES: Final = any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
PRECISION: Final = "bfloat16 autocast" if HALVES else "float32"


def autocast() -> torch.autocast:
    """What is computed within is computed in halves, if the CPU has them."""
    return torch.autocast("cpu", torch.bfloat16, enabled=HALVES)
