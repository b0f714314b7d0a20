"""Gradients at the pixels, and beside them the evidence at a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer
from mmcam.engine.modules import check_recordable, independent
from mmcam.engine.outputs import picture_of, score_of
from mmcam.engine.run import Evidence
from mmcam.engine.tap import Tap
from mmcam.errors import IndependentError

Switch = Callable[[bool], contextlib.AbstractContextManager[None]]
"""The context of a backward pass: with the modified rule (True) or the plain one (False)."""


def input_gradients(
    computation: Computation, *, switch: Switch | None = None, layer: Layer | None = None
) -> tuple[Tensor, Tensor, Evidence | None]:
    """Gradients of every target with respect to the pictures, and optionally the evidence at a layer beside them.

    Args:
        computation: as in `mmcam.engine.run.run`.
        switch: context of the backward pass; called with True around the pass to the pixels and with False around the
            pass to the layer, so that one forward serves a modified and a plain backward.
        layer: also return plain evidence there (what Guided Grad-CAM needs), from the same forward.

    Returns:
        (gradients (T, N, C, H, W), scores (T, N), evidence or None).

    Raises:
        IndependentError: a target does not depend on the pictures, or none on the layer.
    """
    c = computation
    check_recordable(c.model)
    tap = Tap(layer, picture_of(c.x), detach=False) if layer else None
    around = switch or (lambda on: contextlib.nullcontext())
    with as_found(c.model), tap.on(c.model) if tap else contextlib.nullcontext():
        pixels = c.x.detach().clone().requires_grad_()
        scores = _scores(c, pixels, tap)
        at_layer, at_pixels = [], []
        for i, score in enumerate(scores):
            if tap:
                with around(False):
                    at_layer.append(_gradient_at_layer(c, score, tap))
            with around(True):
                more = i + 1 < len(scores)
                one = torch.ones_like(score)
                (gradient,) = torch.autograd.grad(score, pixels, one, retain_graph=more, allow_unused=True)
            if gradient is None:
                raise _independent_of_pixels()
            at_pixels.append(gradient)
    values = torch.stack(scores).detach()
    evidence = Evidence(tap.leaf.detach()[: len(c.x)], torch.stack(at_layer), values) if tap else None
    if tap and evidence and not evidence.gradients.any():
        raise independent(tap.layer.name, c.model)
    return torch.stack(at_pixels), values, evidence


def _scores(c: Computation, pixels: Tensor, tap: Tap | None) -> list[Tensor]:
    """Each target's scores (versions·N,), recorded from the pixels on."""
    with torch.enable_grad():
        if tap:
            tap.reset(1)
        # always a copy: the model may work in place on its input
        output = c.forward(c.rows().per_text(pixels), c.rows())
        blocks = c.rows().blocks(output)
        scores = [torch.cat([score_of(target, block, c.pictures) for block in blocks]) for target in c.targets]
    if tap:
        tap.check()
    if not all(score.requires_grad for score in scores):
        raise _independent_of_pixels()
    return scores


def _gradient_at_layer(c: Computation, score: Tensor, tap: Tap) -> Tensor:
    """One target's gradient (versions·N, K, h, w); the rows of several texts of a picture add up."""
    one = torch.ones_like(score)
    (gradient,) = torch.autograd.grad(score, tap.leaf, one, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise independent(tap.layer.name, c.model)
    return torch.unflatten(gradient, 0, (c.texts, len(c.x))).sum(0)


def _independent_of_pixels() -> IndependentError:
    return IndependentError("The target does not depend on the picture: it has no gradient at the pixels.")
