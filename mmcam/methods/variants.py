"""Scores of changed pictures and of changed activations: forward passes only, streamed in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import Target, picture_of, replace_tensor, rows_of, score_of
from mmcam.engine.rows import Rows
from mmcam.engine.tap import Tap, read_grid
from mmcam.errors import ExplainError
from mmcam.methods.registry import Question
from mmcam.progress import with_progress

ROWS = 32
"""Pictures sent through the model at a time, unless told otherwise: what bounds the memory."""

Change = Callable[[Tensor], Tensor]
"""From activations A (N, K, h, w) to M versions of them (M, N, K, h, w)."""


def chunks(total: int, question: Question, rows: int, what: str) -> Iterator[range]:
    """The numbers 0…total−1 in ranges so short that one for each picture of the question makes at most `rows` pictures.

    Raises:
        ExplainError: `rows` is no positive number.
    """
    if rows < 1:
        raise ExplainError(f"rows={rows} pictures at a time are none; pass at least 1.")
    size = max(1, rows // (len(question.x) * question.texts))
    for start in with_progress(range(0, total, size), what):
        yield range(start, min(start + size, total))


@torch.no_grad()
def picture_scores(question: Question, pictures: Tensor) -> Tensor:
    """The scores (T, M, N) of M versions (M, N, C, H, W) of the question's pictures, in one forward."""
    versions = replace(question, x=pictures.flatten(0, 1), versions=len(pictures))
    with as_found(question.model):
        rows = versions.rows()
        return _scores(versions.targets, rows, versions.forward(rows.per_text(versions.x), rows))


@torch.no_grad()
def activations_of(question: Question) -> tuple[Tensor, Tensor]:
    """The activations A (N, K, h, w) at the question's layer and the scores (T, N), from one forward."""
    q, rows = question, Rows(len(question.x), question.texts)
    tap = Tap(q.layer, picture_of(q.x), detach=False)
    with as_found(q.model), tap.on(q.model):
        tap.reset(1)
        output = q.forward(rows.per_text(q.x), rows)
        tap.check()
        return tap.leaf[: len(q.x)], _scores(q.targets, rows, output)[:, 0]


@torch.no_grad()
def activation_scores(question: Question, change: Change, versions: int) -> Tensor:
    """The scores (T, M, N) of M versions of the activations, everything before the layer running once.

    Args:
        question: what is asked.
        change: makes the versions.
        versions: M.
    """
    q, n, layer = question, len(question.x), question.layer
    rows = Rows(n, q.texts, versions)
    calls = 0

    def put_in(module: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != (layer.call or 0):
            return None
        tensor, grid = read_grid(layer, output, picture_of(q.x))
        if len(tensor) == n:
            new = rows.per_text(change(grid.read(tensor)).flatten(0, 1))
        else:  # rows from the beginning: each text of a picture has activations of its own
            each = torch.unflatten(grid.read(tensor), 0, (q.texts, versions, n))[:, 0]
            new = torch.cat([change(activations).flatten(0, 1) for activations in each])
        return replace_tensor(output, grid.write(tensor, new))

    with as_found(q.model):
        handle = find_module(q.model, layer.name).register_forward_hook(put_in)
        try:
            try:
                output = q.forward(q.x.clone(), rows)
            except (RuntimeError, ValueError, IndexError, AssertionError):
                output = None
            if rows_of(output) != len(rows):
                calls = 0  # this model wants as many rows before the layer as behind it
                output = q.forward(rows.per_text(torch.cat([q.x] * versions)), rows)
            return _scores(q.targets, rows, output)
        finally:
            handle.remove()


def _scores(targets: Sequence[Target], rows: Rows, output: object) -> Tensor:
    """(T, repeats, N)."""
    blocks = rows.blocks(output)
    scores = torch.stack(
        [torch.stack([score_of(target, block, rows.pictures) for block in blocks]) for target in targets]
    )
    # What is made of them are small differences and long sums, which half precision would lose.
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
