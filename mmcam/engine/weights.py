"""What is wrong with a model's weights, said in words: not there, not recordable, or not trained yet.

And whether they are still those they were.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

SAMPLES = 8
"""Rows of a weight of which the first numbers are looked at."""


def absent(model: nn.Module) -> str:
    """The sentence for weights without values; "" where all have some."""
    if not any(p.is_meta for p in model.parameters()):
        return ""
    return (
        f"Weights of {type(model).__name__} are on the device 'meta', so they have no values here (an empty model, or "
        "one whose parts a device_map offloaded); load it whole onto one device."
    )


def unrecordable(model: nn.Module) -> str:
    """The sentence for weights through which no gradient can be recorded; "" where it can."""
    if not any(t.is_inference() for tensors in (model.parameters(), model.buffers()) for t in tensors):
        return ""
    return (
        f"{type(model).__name__} was built inside torch.inference_mode(), and no gradient can be recorded through such "
        "weights; build or load it outside (explaining may stay inside)."
    )


def untrained(model: nn.Module) -> str:
    """Why nothing before the last layer of a model may count: all that layer's weights are 0; "" where they are not.

    Many vision transformers and mixers begin training with such a head.
    """
    matrices = [(n, w) for n, m in model.named_modules() for w in m.parameters(recurse=False) if w.ndim > 1]
    if not matrices or matrices[-1][1].any():
        return ""
    return f"probably because the weights of its last layer, {matrices[-1][0]!r}, are all zero, as before training"


def state_of(module: nn.Module) -> tuple[object, ...]:
    """What is another one when a module's weights or buffers have changed, at the cost of a look at a few numbers.

    Where they lie, how often they were changed in place, and some of their numbers: `Tensor.data` is changed in place
    without a count.
    """
    tensors = [t.detach() for t in chain(module.parameters(), module.buffers())]
    counts = tuple((t.data_ptr(), None if t.is_inference() else t._version) for t in tensors)
    with torch.no_grad():
        some = [t[:: max(1, len(t) // SAMPLES)] for t in tensors if t.ndim > 0]
        some = [t if t.ndim == 1 else t.flatten(1)[:, 0] for t in some]
        numbers = torch.cat(some).double().cpu().numpy().tobytes() if some else b""
    return (counts, numbers)
