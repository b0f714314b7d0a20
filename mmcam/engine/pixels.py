"""Gradients at the pixels, and beside them the evidence at a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcam.engine import independence
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
    with as_found(c.model):
        together = len(c.rows()) == 1 or independence.of_pictures(c)
        with tap.on(c.model) if tap else contextlib.nullcontext():
            pixels = c.x.detach().clone().requires_grad_()
            output, leaves = _recorded(c, pixels, tap, together)
            scores = _scores(c, output)
            at_layer, at_pixels = [], []
            for i, score in enumerate(scores):
                if tap:
                    with around(False):
                        at_layer.append(_gradient_at_layer(c, score, tap, leaves))
                with around(True):
                    more = i + 1 < len(scores)
                    one = torch.ones_like(score)
                    (gradient,) = torch.autograd.grad(score, pixels, one, retain_graph=more, allow_unused=True)
                if gradient is None:
                    raise _independent_of_pixels()
                at_pixels.append(gradient)
    values = torch.stack(scores).detach()
    evidence = Evidence(torch.cat(leaves).detach()[: len(c.x)], torch.stack(at_layer), values) if tap else None
    if tap and evidence and not evidence.gradients.any():
        raise independent(tap.layer.name, c.model)
    return torch.stack(at_pixels), values, evidence


def _recorded(c: Computation, pixels: Tensor, tap: Tap | None, together: bool) -> tuple[Any, list[Tensor]]:
    """The output recorded from the pixels on, and the layer's activations: of one pass, or of one for each row."""
    with torch.enable_grad():
        if not together:
            return independence.each_row(c, pixels, tap)
        if tap:
            tap.reset(1)
        # always a copy: the model may work in place on its input
        output = c.forward(c.rows().per_text(pixels), c.rows())
        if tap:
            tap.check()
        return output, [tap.leaf] if tap else []


def _scores(c: Computation, output: Any) -> list[Tensor]:
    """Each target's scores (versions·N,), recorded."""
    with torch.enable_grad():
        blocks = c.rows().blocks(output)
        scores = [torch.cat([score_of(target, block, c.pictures) for block in blocks]) for target in c.targets]
    if not all(score.requires_grad for score in scores):
        raise _independent_of_pixels()
    return scores


def _gradient_at_layer(c: Computation, score: Tensor, tap: Tap, leaves: list[Tensor]) -> Tensor:
    """One target's gradient (versions·N, K, h, w); the rows of several texts of a picture add up."""
    one = torch.ones_like(score)
    found = torch.autograd.grad(score, leaves, one, retain_graph=True, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise independent(tap.layer.name, c.model)
    each = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]
    return torch.unflatten(torch.cat(each), 0, (c.texts, len(c.x))).sum(0)


def _independent_of_pixels() -> IndependentError:
    return IndependentError("The target does not depend on the picture: it has no gradient at the pixels.")
