"""Gradients at the pixels, and beside them the evidence at a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import check_recordable, independent
from mmcam.engine.outputs import (
    Target,
    picture_of,
    score_of,
    split_rows,
)
from mmcam.engine.run import Evidence
from mmcam.engine.tap import Forward, Tap
from mmcam.errors import ExplainError


def input_gradients(
    model: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    *,
    switch: Callable[[bool], contextlib.AbstractContextManager[None]] | None = None,
    layer: str | None = None,
    call: int | None = None,
    fan: int = 1,
    versions: int = 1,
) -> tuple[Tensor, Tensor, Evidence | None]:
    """Gradients of every target with respect to the pictures, and optionally the evidence at a layer beside them.

    Args:
        model, forward, x, targets, call, fan, versions: as in `run`.
        switch: context of the backward pass; called with True around the pass to the pixels and with False around the
            pass to the layer, so that one forward serves a modified and a plain backward.
        layer: also return plain evidence there (what Guided Grad-CAM needs), from the same forward.

    Returns:
        (gradients (T, N, C, H, W), scores (T, N), evidence or None).
    """
    check_recordable(model)
    tap = Tap(layer, call, picture=picture_of(x), detach=False) if layer else None
    around = switch or (lambda on: contextlib.nullcontext())
    with as_found(model), tap.on(model) if tap else contextlib.nullcontext():
        pixels = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            if tap:
                tap.reset(1)
            # always a copy: the model may work in place on its input
            output = forward(torch.cat([pixels] * fan), versions)
            n = len(x) // versions
            blocks = split_rows(output, versions, n, fan)
            scores = [torch.cat([score_of(target, block, n) for block in blocks]) for target in targets]
        if tap:
            tap.check()
        if not all(score.requires_grad for score in scores):
            raise ExplainError("The target does not depend on the picture: it has no gradient at the pixels.")
        at_layer, at_pixels = [], []
        for i, score in enumerate(scores):
            if tap:
                with around(False):
                    (gradient,) = torch.autograd.grad(
                        score, tap.leaf, torch.ones_like(score), retain_graph=True, allow_unused=True
                    )
                if gradient is None:
                    raise ExplainError(independent(tap.layer, model))
                at_layer.append(gradient.unflatten(0, (fan, len(x))).sum(0))
            with around(True):
                (gradient,) = torch.autograd.grad(
                    score, pixels, torch.ones_like(score), retain_graph=i + 1 < len(scores), allow_unused=True
                )
            if gradient is None:
                raise ExplainError("The target does not depend on the picture: it has no gradient at the pixels.")
            at_pixels.append(gradient)
    values = torch.stack(scores).detach()
    evidence = Evidence(tap.leaf.detach()[: len(x)], torch.stack(at_layer), values) if tap else None
    if tap and evidence and not evidence.gradients.any():
        raise ExplainError(independent(tap.layer, model))
    return torch.stack(at_pixels), values, evidence
