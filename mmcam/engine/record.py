"""A layer's activations alone: no graph, no targets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Layer
from mmcam.engine.outputs import picture_of
from mmcam.engine.tap import Reached, Tap


def activations(model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    """The outputs of some layers as maps (N, K, h, w), without a graph, from one forward.

    Of a single layer, what comes after it is not run.

    Args:
        model: the module that holds the layers; left exactly as found.
        forward: runs the model on pictures.
        x: (N, C, H, W) on the model's device.
        layers: without a ``call``, the first time the layer runs.

    Raises:
        ExplainError: a layer is unknown, never runs, or is no spatial map.
    """
    tap = Tap(*layers, picture=picture_of(x), detach=False, stop=len(layers) == 1)
    with as_found(model), tap.on(model), contextlib.suppress(Reached):
        forward(x.clone())
    tap.check(first=True)
    return [leaf.detach() for leaf in tap.leaves]
