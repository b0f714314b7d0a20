"""Run a model once and collect what every map is made of: activations, gradients and scores.

The encoder runs without a graph up to the chosen layer. There its output becomes a leaf, repeated once per target, and
gradients are recorded from it on: one forward and one backward give the exact gradients of all targets, nothing
before the layer is kept, and no parameter receives a gradient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcam.engine import independence
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.gradients import vectorised
from mmcam.engine.kept import begun
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
    return run_at(computation, [layer], zero=zero, rows=rows)[0]


def run_at(
    computation: Computation, layers: Sequence[Layer], *, zero: bool = False, rows: int = ROWS
) -> list[Evidence]:
    """The evidence at several layers, of one forward and one backward from the one that runs first.

    Args:
        computation, zero, rows: as in `run`.
        layers: in any order, one behind the other or on branches of their own.

    Raises:
        IndependentError: no target depends on one of the layers.
        ExplainError: as `run`, of any of them.
    """
    c = computation
    check_recordable(c.model)
    tap = Tap(*layers, picture=picture_of(c.x), texts=c.texts)
    rows = min(rows, getattr(c.model, "most_rows", rows))  # a model whose rows are heavy says so
    copies = max(1, min(len(c.targets), rows // (c.texts * len(c.x))))
    with as_found(c.model), begun(c.kept, c.model, layers):
        # What the first and last row give alone, the first time they are not.
        alone = independence.ends_alone(c) if _untested(c, tap, copies) else None
        with tap.on(c.model):
            with contextlib.nullcontext() if alone is None else independence.drawn_again(c):
                output = _together(c, tap, copies, alone)
            apart = output is None
            output, leaves = _apart(c, tap, alone) if apart else (output, [[leaf] for leaf in tap.leaves])
        with torch.enable_grad():
            scores = _scores(c, output, 1 if apart else copies)
            if not all(score.requires_grad for score in scores):
                raise independent(tap.where[0], c.model)
            gradients: Sequence[Tensor | None]
            if apart:
                gradients = _batched(torch.stack(scores), leaves, c.texts)
            else:
                gradients = _chunked(scores, tap.leaves, copies, c.texts)
        for layer, gradient in zip(layers, gradients, strict=True):
            if gradient is None or not (zero or gradient.any()):
                raise independent(layer.name, c.model)
    values, n = torch.stack(scores).detach(), len(c.x)
    return [
        Evidence(torch.cat(own).detach()[:n], gradient, values)
        for own, gradient in zip(leaves, gradients, strict=True)
        if gradient is not None
    ]


def _untested(c: Computation, tap: Tap, copies: int) -> bool:
    """Whether there are several rows, and it is not known yet whether they are independent."""
    return c.texts * copies * len(c.x) > 1 and independence.known(c.model, tap.where) is None


def _together(c: Computation, tap: Tap, copies: int, alone: independence.Ends | None) -> Any | None:
    """The output of one pass for all pictures, texts and targets.

    None where it cannot be used: the model does not take more rows behind the layer than before it, or its rows are not
    independent.
    """
    where, rows = tap.where, c.rows(copies)
    if independence.known(c.model, where) is False and len(rows) > 1:
        return None
    added = c.texts * copies > 1
    output = _expanded(c, tap, copies) if added else tap.forward(lambda: c.forward(c.x.clone(), rows), 1)
    if output is None:
        return None
    _check_leaves(tap, len(c.x) * copies)
    if alone is None:
        return output
    return output if independence.look(c, where, alone, output, rows, tap.leaf) else None


def _apart(c: Computation, tap: Tap, alone: independence.Ends | None) -> tuple[Any, list[list[Tensor]]]:
    """The output with rows from the beginning, and the leaves of each layer.

    The encoder sees each picture once for each text.

    All rows in one pass if they are independent, else each in a pass of its own.
    """
    tap.texts, rows = 1, c.rows()
    where = tap.where
    if independence.known(c.model, where) is not False:
        with contextlib.nullcontext() if alone is None else independence.drawn_again(c):
            output = tap.forward(lambda: c.forward(rows.per_text(c.x), rows), 1)
        _check_leaves(tap, len(rows))
        if len(rows) == 1 or alone is None or independence.look(c, where, alone, output, rows, tap.leaf):
            return output, [[leaf] for leaf in tap.leaves]
    output, leaves = independence.each_row(c, c.x, tap, lambda one: tap.forward(one, 1))
    _check_leaves(tap, 1)
    return output, leaves


def _check_leaves(tap: Tap, rows: int) -> None:
    """Raise ExplainError if a layer does not hold one map a picture; behind another layer, one a text of it."""
    for layer, leaf in zip(tap.layers, tap.leaves, strict=True):
        if len(leaf) != rows and (leaf.is_leaf or len(leaf) != tap.texts * rows):
            raise ExplainError(
                f"Layer {layer.name!r} holds {len(leaf)} maps where there are {rows} pictures, those of several "
                "views, frames or tiles of each; explain one of them at a time, by a model that takes one, or name a "
                "layer that holds one map a picture."
            )


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


def _chunked(scores: Sequence[Tensor], leaves: Sequence[Tensor], copies: int, texts: int) -> list[Tensor]:
    """All targets' gradients (T, N, K, h, w) at each leaf: as many a backward pass as it has copies, the graph reused.

    Behind another layer a leaf has the rows of every text of a picture, whose gradients add up. Only a chunk's own
    scores are joined: a pass from one tensor of all scores would walk back through every target.
    """
    blocks: list[list[Tensor]] = [[] for _ in leaves]
    for start in range(0, len(scores), copies):
        part = list(scores[start : start + copies])
        more = start + copies < len(scores)
        found = torch.autograd.grad(torch.stack(part).sum(), leaves, retain_graph=more, allow_unused=True)
        for own, gradient, leaf in zip(blocks, found, leaves, strict=True):
            # None of a chunk's targets may depend on the layer where others' do: their gradients are zero.
            each = torch.zeros_like(leaf) if gradient is None else gradient
            if not leaf.is_leaf and texts > 1:
                each = torch.unflatten(each, 0, (texts, -1)).sum(0)
            own.append(torch.unflatten(each, 0, (copies, -1))[: len(part)])
    return [torch.cat(own) if len(own) > 1 else own[0] for own in blocks]


def _batched(scores: Tensor, leaves: Sequence[Sequence[Tensor]], texts: int) -> list[Tensor | None]:
    """All targets' gradients at each layer, through un-expanded graphs, some targets at a time to bound the memory.

    A layer's leaves hold the rows of as many equal batches of pictures as there are texts; their gradients add up. None
    for a layer that no target depends on.
    """
    every = [leaf for own in leaves for leaf in own]
    size = max(1, ROWS // sum(len(leaf) for leaf in leaves[0]))
    parts = [vectorised(scores[start : start + size], every) for start in range(0, len(scores), size)]
    found, start = list[Tensor | None](), 0
    for own in leaves:
        of_layer = [part[start : start + len(own)] for part in parts]
        start += len(own)
        filled = [
            torch.cat(
                [
                    leaf.new_zeros(len(some), *leaf.shape) if gradient is None else gradient
                    for gradient, leaf in zip(part, own, strict=True)
                ],
                dim=1,
            )
            for part, some in zip(of_layer, scores.split(size), strict=True)
        ]
        none = all(gradient is None for part in of_layer for gradient in part)
        found.append(None if none else torch.unflatten(torch.cat(filled), 1, (texts, -1)).sum(1))
    return found
