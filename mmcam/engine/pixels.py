"""Gradients at the pixels, and beside them the evidence at layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcam.engine import independence
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.gradients import of_each
from mmcam.engine.layer import Layer
from mmcam.engine.modules import check_recordable, independent
from mmcam.engine.once import seen_once
from mmcam.engine.outputs import picture_of, score_of
from mmcam.engine.run import Evidence
from mmcam.engine.tap import Tap
from mmcam.errors import IndependentError

ROWS = 32
"""Rows (targets × pictures) of a vectorised backward pass to the pixels."""

Switch = Callable[[bool], contextlib.AbstractContextManager[None]]
"""The context of a backward pass: with the modified rule (True) or the plain one (False)."""


def input_gradients(
    computation: Computation, *, switch: Switch | None = None, layers: Sequence[Layer] = (), zero: bool = False
) -> tuple[Tensor, Tensor, list[Evidence]]:
    """Gradients of every target with respect to the pictures, and optionally the evidence at layers beside them.

    Args:
        computation: as in `mmcam.engine.run.run`.
        switch: context of the backward pass; called with True around the pass to the pixels and with False around the
            pass to the layers, so that one forward serves a modified and a plain backward.
        layers: also return plain evidence there (what Guided Grad-CAM needs), from the same forward.
        zero: a gradient at a layer that is zero everywhere is an answer; else it is an error.

    Returns:
        (gradients (T, N, C, H, W), scores (T, N), the evidence at each layer).

    Raises:
        IndependentError: a target does not depend on the pictures, or none on one of the layers.
    """
    c = computation
    check_recordable(c.model)
    tap = Tap(*layers, picture=picture_of(c.x), detach=False) if layers else None
    around = switch or (lambda on: contextlib.nullcontext())
    with as_found(c.model):
        together = len(c.rows()) == 1 or independence.of_pictures(c)
        with tap.on(c.model) if tap else contextlib.nullcontext():
            pixels = c.x.detach().clone().requires_grad_()
            # A rule is not linear: what it makes of the sum of two texts' gradients is not the sum for each.
            with contextlib.nullcontext() if switch else seen_once(c, among_pictures=False):
                output, leaves = _recorded(c, pixels, tap, together)
            scores = _scores(c, output)
            size = _at_once(pixels)
            at_layers = list[list[Tensor]]()
            if tap:
                every = [leaf for own in leaves for leaf in own]
                with around(False):
                    found = of_each(scores, every, size, keep=True)
                at_layers = [_per_layer(c, own, tap, leaves, zero) for own in found]
            with around(True):
                gradients = [own[0] for own in of_each(scores, [pixels], size, keep=False)]
    at_pixels = [gradient for gradient in gradients if gradient is not None]
    if len(at_pixels) < len(gradients):
        raise _independent_of_pixels()
    values = torch.stack(scores).detach()
    evidence = [
        Evidence(torch.cat(own).detach()[: len(c.x)], torch.stack(each), values)
        for own, each in zip(leaves, zip(*at_layers, strict=True), strict=True)
    ]
    for layer, of_layer in zip(layers, evidence, strict=True):
        if not (zero or of_layer.gradients.any()):
            raise independent(layer.name, c.model)
    return torch.stack(at_pixels), values, evidence


def _recorded(c: Computation, pixels: Tensor, tap: Tap | None, together: bool) -> tuple[Any, list[list[Tensor]]]:
    """The output recorded from the pixels on, and the layers' activations: of one pass, or of one for each row."""
    with torch.enable_grad():
        if not together:
            return independence.each_row(c, pixels, tap)
        if tap:
            tap.reset(1)
        # always a copy: the model may work in place on its input
        output = c.forward(c.rows().per_text(pixels), c.rows())
        if tap:
            tap.check()
        return output, [[leaf] for leaf in tap.leaves] if tap else []


def _scores(c: Computation, output: Any) -> list[Tensor]:
    """Each target's scores (versions·N,), recorded."""
    with torch.enable_grad():
        blocks = c.rows().blocks(output)
        scores = [torch.cat([score_of(target, block, c.pictures) for block in blocks]) for target in c.targets]
    if not all(score.requires_grad for score in scores):
        raise _independent_of_pixels()
    return scores


def _per_layer(
    c: Computation, found: Sequence[Tensor | None], tap: Tap, leaves: list[list[Tensor]], zero: bool
) -> list[Tensor]:
    """One target's gradient (versions·N, K, h, w) at each layer; the rows of several texts of a picture add up."""
    each_leaf, gradients = iter(found), []
    for layer, own in zip(tap.layers, leaves, strict=True):
        each = [next(each_leaf) for _ in own]
        if not zero and all(gradient is None for gradient in each):
            raise independent(layer.name, c.model)
        filled = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(each, own, strict=True)]
        gradients.append(torch.unflatten(torch.cat(filled), 0, (-1, len(c.x))).sum(0))
    return gradients


def _at_once(pixels: Tensor) -> int:
    """Targets a backward pass.

    On a CPU one: a pass for several, vectorised, takes up to 1.3 times as long as one for each. What it saves is the
    starting of operations, which other devices wait for.
    """
    return 1 if pixels.device.type == "cpu" else max(1, ROWS // len(pixels))


def _independent_of_pixels() -> IndependentError:
    return IndependentError("The target does not depend on the picture: it has no gradient at the pixels.")
