"""Scores of changed pictures and of changed activations: forward passes only, streamed in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, picture_of, replace_tensor, rows_of, score_of, split_rows
from mmcam.engine.tap import Tap
from mmcam.errors import ExplainError
from mmcam.methods.registry import Question
from mmcam.places.grids import grid_at
from mmcam.progress import with_progress

ROWS = 32
"""Pictures sent through the model at a time, unless told otherwise: what bounds the memory."""


def chunks(total: int, question: Question, rows: int, what: str) -> Iterator[range]:
    """The numbers 0…total−1 in ranges so short that one for each picture of the question makes at most `rows` pictures.

    Raises:
        ExplainError: `rows` is no positive number.
    """
    if rows < 1:
        raise ExplainError(f"rows={rows} pictures at a time are none; pass at least 1.")
    size = max(1, rows // (len(question.x) * question.fan))
    for start in with_progress(range(0, total, size), what):
        yield range(start, min(start + size, total))


@torch.no_grad()
def picture_scores(question: Question, pictures: Tensor) -> Tensor:
    """The scores (T, M, N) of M versions (M, N, C, H, W) of the question's pictures, in one forward."""
    q, (versions, n) = question, pictures.shape[:2]
    with as_found(q.model):
        output = q.forward(torch.cat([pictures.flatten(0, 1)] * q.fan), versions)
        return _scores(q, output, versions, n)


@torch.no_grad()
def activations_of(question: Question) -> tuple[Tensor, Tensor]:
    """The activations A (N, K, h, w) at the question's layer and the scores (T, N), from one forward."""
    q, n = question, len(question.x)
    tap = Tap(q.layer, q.call, picture=picture_of(q.x), detach=False)
    with as_found(q.model), tap.on(q.model):
        tap.reset(1)
        output = q.forward(torch.cat([q.x] * q.fan), 1)
        tap.check()
        return tap.leaf[:n], _scores(q, output, 1, n)[:, 0]


@torch.no_grad()
def activation_scores(question: Question, change: Callable[[Tensor], Tensor], versions: int) -> Tensor:
    """The scores (T, M, N) of M versions of the activations, everything before the layer running once.

    Args:
        question: what is asked.
        change: from the activations A (N, K, h, w) to their versions (M, N, K, h, w).
        versions: M.
    """
    q, n = question, len(question.x)
    calls = 0

    def changed(module: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != (q.call or 0):
            return None
        tensor = first_tensor(output)
        grid = None if tensor is None else grid_at(q.model, q.layer, tensor, picture_of(q.x))
        assert tensor is not None
        assert grid is not None  # the activations were read here before
        if len(tensor) == n:
            new = torch.cat([change(grid.read(tensor)).flatten(0, 1)] * q.fan)
        else:  # rows from the beginning: each version of the text has activations of its own
            each = grid.read(tensor).unflatten(0, (q.fan, versions, n))[:, 0]
            new = torch.cat([change(activations).flatten(0, 1) for activations in each])
        return replace_tensor(output, grid.write(tensor, new))

    with as_found(q.model):
        handle = find_module(q.model, q.layer).register_forward_hook(changed)
        try:
            try:
                output = q.forward(q.x.clone(), versions)
            except (RuntimeError, ValueError, IndexError, AssertionError):
                output = None
            if rows_of(output) != q.fan * versions * n:
                calls = 0  # this model wants as many rows before the layer as behind it
                output = q.forward(torch.cat([q.x] * versions * q.fan), versions)
            return _scores(q, output, versions, n)
        finally:
            handle.remove()


def _scores(question: Question, output: object, versions: int, n: int) -> Tensor:
    blocks = split_rows(output, versions, n, question.fan)
    scores = torch.stack([torch.stack([score_of(target, block, n) for block in blocks]) for target in question.targets])
    # What is made of them are small differences and long sums, which half precision would lose.
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
