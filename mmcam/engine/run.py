"""Run a model once and collect what every map is made of: activations, gradients and scores.

The encoder runs without a graph up to the chosen layer. There its output becomes a leaf, repeated once per target, and
gradients are recorded from it on: one forward and one backward give the exact gradients of all targets, nothing
before the layer is kept, and no parameter receives a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer
from mmcam.engine.modules import check_recordable, independent
from mmcam.engine.outputs import picture_of, rows_of, score_of
from mmcam.engine.tap import Tap
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


def run(computation: Computation, layer: Layer, *, zero: bool = False, rows: int = ROWS) -> Evidence:
    """Activations at a layer and the gradient of every target with respect to them.

    Args:
        computation: what is run; its model is left exactly as found, also after an exception.
        layer: where activations are read.
        zero: a gradient that is zero everywhere is an answer; else it is an error.
        rows: bound on the rows T·N that the layers after `layer` see at once; more targets reuse the same graph.

    Raises:
        IndependentError: no target depends on the layer.
        ExplainError: the layer never runs, runs several times, or is no spatial map; a target returns the wrong shape.
    """
    c = computation
    check_recordable(c.model)
    tap = Tap(layer, picture_of(c.x), texts=c.texts)
    rows = min(rows, getattr(c.model, "most_rows", rows))  # a model whose rows are heavy says so
    copies = max(1, min(len(c.targets), rows // (c.texts * len(c.x))))
    with as_found(c.model), tap.on(c.model):
        added = c.texts * copies > 1
        output = _expanded(c, tap, copies) if added else tap.forward(lambda: c.forward(c.x.clone(), c.rows()), 1)
        refused = added and output is None
        if refused:
            tap.texts = 1  # rows from the beginning: the encoder sees each picture once for each of its texts
            output = tap.forward(lambda: c.forward(c.rows().per_text(c.x), c.rows()), 1)
        with torch.enable_grad():
            scores = _scores(c, output, tap.copies)
            if not all(score.requires_grad for score in scores):
                raise independent(layer.name, c.model)
            leaf = tap.leaf
            gradients = _batched(torch.stack(scores), leaf, c.texts) if refused else _chunked(scores, leaf, copies)
        if gradients is None or not (zero or gradients.any()):
            raise independent(layer.name, c.model)
    return Evidence(tap.leaf.detach()[: len(c.x)], gradients, torch.stack(scores).detach())


def _scores(c: Computation, output: Any, copies: int) -> list[Tensor]:
    """T targets' scores (versions·N), each of its own copy of the rows."""
    blocks = c.rows(copies).blocks(output)
    each = []
    for i, target in enumerate(c.targets):
        own = blocks[(i % copies) * c.versions :][: c.versions]
        each.append(torch.cat([score_of(target, block, c.pictures) for block in own]))
    return each


def _expanded(c: Computation, tap: Tap, copies: int) -> Any | None:
    """The output with every row after the layer repeated, None where the model cannot take that.

    Some models insist on the pictures' own number of rows behind the encoder; they either raise or lose the copies.
    """
    rows = c.rows(copies)
    try:
        # A copy: the model may work in place on its input, and inference tensors cannot be recorded.
        output = tap.forward(lambda: c.forward(c.x.clone(), rows), copies)
    except ExplainError:
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return output if rows_of(output) == len(rows) else None


def _chunked(scores: Sequence[Tensor], leaf: Tensor, copies: int) -> Tensor:
    """All targets' gradients (T, N, K, h, w): as many a backward pass as the leaf has copies, the graph reused.

    Only a chunk's own scores are joined: a pass from one tensor of all scores would walk back through every target.
    """
    blocks = []
    for start in range(0, len(scores), copies):
        part = list(scores[start : start + copies])
        more = start + copies < len(scores)
        (gradient,) = torch.autograd.grad(torch.stack(part).sum(), leaf, retain_graph=more, allow_unused=True)
        # None of a chunk's targets may depend on the layer where others' do: their gradients are zero.
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        blocks.append(torch.unflatten(gradient, 0, (copies, -1))[: len(part)])
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def _batched(scores: Tensor, leaf: Tensor, texts: int) -> Tensor | None:
    """All targets' gradients through one un-expanded graph, vectorised where every operation allows it.

    The leaf holds the rows of as many equal batches of pictures as there are texts; their gradients add up.
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
    return None if gradients is None else torch.unflatten(gradients, 1, (texts, -1)).sum(1)
