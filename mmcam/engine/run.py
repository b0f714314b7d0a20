"""Run a model once and collect what every map is made of: activations, gradients and scores.

The encoder runs without a graph up to the chosen layer. There its output becomes a leaf, repeated once per target, and
gradients are recorded from it on: one forward and one backward give the exact gradients of all targets, nothing
before the layer is kept, and no parameter receives a gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import check_recordable, independent
from mmcam.engine.outputs import (
    Target,
    picture_of,
    rows_of,
    score_of,
    split_rows,
)
from mmcam.engine.tap import Forward, Tap, _Reached, forward_behind
from mmcam.errors import ExplainError

ROWS = 64
"""Rows (targets × pictures) sent through the layers after the chosen one at a time, unless told otherwise."""


@dataclass(frozen=True)
class Evidence:
    """What a target's map is computed from, on the model's device and in its dtype.

    Attributes:
        activations: A (N, K, h, w), the layer's output.
        gradients: dS/dA (T, N, K, h, w).
        scores: S (T, N).
        cells: 1 at the cells that count, (1 or N, 1, h, w); None for all.
    """

    activations: Tensor
    gradients: Tensor
    scores: Tensor
    cells: Tensor | None = None


def run(
    model: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    layer: str,
    *,
    call: int | None = None,
    fan: int = 1,
    versions: int = 1,
    zero: bool = False,
    rows: int = ROWS,
) -> Evidence:
    """Activations at a layer and the gradient of every target with respect to them.

    Args:
        model: the module that holds `layer`; left exactly as found, also after an exception.
        forward: runs the model on the pictures, its text side (if any) on ``copies`` times as many rows.
        x: (N, C, H, W) on the model's device.
        targets: T functions from the output for N pictures to their N scores.
        layer: dotted name, as in ``model.named_modules()``.
        call: which call of a layer that runs several times in one forward, from 0.
        fan: rows of text for each picture, where a target compares versions of a text; targets then see fan·N rows.
        versions: x holds so many batches of N pictures, one after the other, and the result as many rows; targets see
            one batch at a time.
        zero: a gradient that is zero everywhere is an answer; else it is an error.
        rows: bound on the rows T·N that the layers after `layer` see at once; more targets reuse the same graph.

    Raises:
        ExplainError: the layer is unknown, never runs, runs several times, is no spatial map, or no target depends on
            it; a target returns the wrong shape.
    """
    check_recordable(model)
    tap = Tap(layer, call, picture=picture_of(x), fan=fan)
    rows = min(rows, getattr(model, "most_rows", rows))  # a model whose rows are heavy says so
    copies = max(1, min(len(targets), rows // (fan * len(x))))
    n = len(x) // versions
    with as_found(model), tap.on(model):
        added = fan * copies > 1
        output = _expanded(tap, forward, x, copies, versions) if added else forward_behind(tap, forward, x, 1, versions)
        refused = added and output is None
        if refused:
            tap.fan = 1  # rows from the beginning: the encoder sees each picture once for each version of its text
            output = forward_behind(tap, forward, torch.cat([x] * fan), 1, versions)
        leaf = tap.leaf
        copies = tap.copies
        with torch.enable_grad():
            blocks = split_rows(output, copies * versions, n, fan)
            each = [
                torch.cat([score_of(target, block, n) for block in blocks[(i % copies) * versions :][:versions]])
                for i, target in enumerate(targets)
            ]
            if not all(score.requires_grad for score in each):
                raise ExplainError(independent(layer, model))
            scores = torch.stack(each)
            gradients = _batched(scores, leaf, fan) if refused else _chunked(scores, leaf, copies)
        if gradients is None or not (zero or gradients.any()):
            raise ExplainError(independent(layer, model))
    return Evidence(leaf.detach()[: len(x)], gradients, scores.detach())


def activations(
    model: nn.Module, forward: Callable[[Tensor], Any], x: Tensor, layer: str, call: int | None = None
) -> Tensor:
    """A layer's output (N, K, h, w) without a graph; what comes after the layer is not run.

    Args:
        model: the module that holds `layer`; left exactly as found.
        forward: runs the model on pictures.
        x: (N, C, H, W) on the model's device.
        layer, call: as in `run`; without `call`, the first time the layer runs.

    Raises:
        ExplainError: the layer is unknown, never runs, or is no spatial map.
    """
    tap = Tap(layer, call, picture=picture_of(x), detach=False, stop=True)
    with as_found(model), tap.on(model):
        tap.reset(1)
        with contextlib.suppress(_Reached):
            forward(x.clone())
    tap.check()
    return tap.leaf.detach()


def _expanded(tap: Tap, forward: Forward, x: Tensor, copies: int, versions: int) -> Any | None:
    """The output with every row after the layer repeated, None where the model cannot take that.

    Some models insist on the pictures' own number of rows behind the encoder; they either raise or lose the copies.
    """
    try:
        output = forward_behind(tap, forward, x, copies, versions)
    except ExplainError:
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return output if rows_of(output) == tap.fan * copies * len(x) else None


def _chunked(scores: Tensor, leaf: Tensor, copies: int) -> Tensor | None:
    """All targets' gradients (T, N, K, h, w): as many a backward pass as the leaf has copies, the graph reused."""
    blocks = []
    for start in range(0, len(scores), copies):
        part = scores[start : start + copies]
        more = start + copies < len(scores)
        (gradient,) = torch.autograd.grad(part.sum(), leaf, retain_graph=more, allow_unused=True)
        if gradient is None:
            return None
        blocks.append(gradient.unflatten(0, (copies, -1))[: len(part)])
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def _batched(scores: Tensor, leaf: Tensor, fan: int) -> Tensor | None:
    """All targets' gradients through one un-expanded graph, vectorised where every operation allows it.

    The leaf holds the rows of `fan` equal batches of pictures, whose gradients add up.
    """
    one_hot = torch.eye(len(scores), dtype=scores.dtype, device=scores.device)[:, :, None].expand(
        -1, -1, scores.shape[1]
    )
    try:
        (gradients,) = torch.autograd.grad(
            scores, leaf, one_hot, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
    except RuntimeError:  # an operation without a batching rule: one backward a target is exact too
        rows = [torch.autograd.grad(s.sum(), leaf, retain_graph=True, allow_unused=True)[0] for s in scores]
        if all(row is None for row in rows):
            return None
        gradients = torch.stack([torch.zeros_like(leaf) if row is None else row for row in rows])
    return None if gradients is None else gradients.unflatten(1, (fan, -1)).sum(1)
