"""The end of a network's encoder: the last map of the part that sees the picture, before heads work on it.

Of a network that gives an answer for every place, as one that segments, the last map before the answer shows where the
answer is and not what it was seen by: what comes behind it looks at single cells. At the end of the encoder every cell
has seen far around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mmcam.engine.modules import check_recordable
from mmcam.places.survey import measure, spot_of, survey

NAMES = ("encoder", "backbone")
"""What the part that sees the picture is called, in torchvision, segmentation_models_pytorch and transformers alike."""

MOST = 24
"""Layers that are looked at, from the last one on."""


def encoder_end(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, encoder: str | None = None
) -> str | None:
    """Name of the last layer inside of a network's encoder that gives a map larger than 1×1.

    Args:
        model: the module; its encoder is the first module of it that is called so, from the outside in, else the one
            that its attribute ``picture_encoder`` names.
        forward: runs the model on any number of pictures like `x`.
        x: pictures (N,C,H,W).
        encoder: its dotted name, where that is known.

    Returns:
        A dotted name; None where nothing says which module it is, or it holds no such layer.
    """
    called = (name for name, _ in model.named_modules() if name.rpartition(".")[2] in NAMES)
    prefix = encoder or next(called, getattr(model, "picture_encoder", None))
    if not isinstance(prefix, str):
        return None
    check_recordable(model)
    known = survey(model, forward, x)
    runs = Counter(call.name for call in known.calls)
    inside = [
        call
        for call in known.calls
        if call.name.startswith(f"{prefix}.") and runs[call.name] == 1 and not (call.passing or call.pooled)
    ]
    for call in inside[: -MOST - 1 : -1]:
        measure(model, forward, x, known, [call])
        spot = spot_of(model, known, call)
        if spot is not None and min(spot.map[1:]) > 1:
            return call.name
    return None
