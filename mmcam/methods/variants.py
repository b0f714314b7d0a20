"""Scores of changed pictures and of changed activations: forward passes only, streamed in chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from mmcam.engine import independence
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.kept import begun
from mmcam.engine.layer import Grid
from mmcam.engine.layout import laid_out
from mmcam.engine.modules import find_module
from mmcam.engine.once import seen_once
from mmcam.engine.outputs import Target, picture_of, replace_tensor, rows_of, score_of
from mmcam.engine.rows import Rows
from mmcam.engine.tap import Tap, read_grid
from mmcam.errors import ExplainError
from mmcam.methods.registry import Question
from mmcam.progress import with_progress

ROWS = 32
"""Pictures sent through the model at a time, unless told otherwise: what bounds the memory."""

Precision = Literal["bfloat16", "float16"]
"""What forward passes may compute in by choice: shorter than the weights, quicker on devices that are made for it."""

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
def picture_scores(question: Question, pictures: Tensor, dtype: Precision | None = None) -> Tensor:
    """The scores (T, M, N) of M versions (M, N, C, H, W) of the question's pictures; one forward if rows allow it.

    Args:
        question: what is asked.
        pictures: the versions.
        dtype: of the convolutions and products inside, which the weights need not have; None: the model's own.
    """
    versions = replace(question, x=pictures.flatten(0, 1), versions=len(pictures))
    with as_found(question.model), begun(question.kept, question.model), computed_in(dtype, pictures.device):
        return _scores(versions.targets, versions.rows(), _output_of(versions))


def computed_in(dtype: Precision | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Forward passes inside compute in a shorter type.

    Raises:
        ExplainError: there is no such choice.
    """
    if dtype is None:
        return contextlib.nullcontext()
    if dtype not in get_args(Precision):
        raise ExplainError(f"There is no dtype={dtype!r} to compute in; choose 'bfloat16', 'float16' or None.")
    return torch.autocast(device.type, getattr(torch, dtype))


def _output_of(c: Computation) -> Any:
    """The output for all rows: of one pass if they are independent, else each of a pass of its own."""
    rows = c.rows()
    if len(rows) > 1 and not independence.of_pictures(c):
        return independence.each_row(c, c.x)[0]
    with seen_once(c):
        return c.forward(rows.per_text(laid_out(c)), rows)


@torch.no_grad()
def activations_of(question: Question) -> tuple[Tensor, Tensor]:
    """The activations A (N, K, h, w) at the question's layer and the scores (T, N); one forward if rows allow it."""
    q, rows = question, Rows(len(question.x), question.texts)
    tap = Tap(q.layer, picture=picture_of(q.x), detach=False)
    with as_found(q.model):
        together = len(rows) == 1 or independence.of_pictures(q)
        with tap.on(q.model):
            if together:
                tap.reset(1)
                output = q.forward(rows.per_text(q.x), rows)
                tap.check()
                leaves = [tap.leaf]
            else:
                output, (leaves,) = independence.each_row(q, q.x, tap)
        return torch.cat(leaves)[: len(q.x)], _scores(q.targets, rows, output)[:, 0]


@torch.no_grad()
def activation_scores(question: Question, change: Change, versions: int) -> Tensor:
    """The scores (T, M, N) of M versions of the activations, everything before the layer running once.

    Args:
        question: what is asked.
        change: makes the versions.
        versions: M.
    """
    q, rows = question, Rows(len(question.x), question.texts, versions)
    with as_found(q.model):
        if len(rows) == 1 or independence.of_pictures(q):
            output = _put_in_together(q, change, rows)
        else:
            output = independence.joined(list(_put_in_apart(q, change, rows)))
        return _scores(q.targets, rows, output)


def _put_in_together(q: Question, change: Change, rows: Rows) -> Any:
    """The output with all versions of the activations put in behind one run of the layer."""
    n = rows.pictures

    def versions_of(tensor: Tensor, grid: Grid) -> Tensor:
        maps = grid.read(tensor)
        if len(maps) == n:
            return rows.per_text(change(maps).flatten(0, 1))
        # rows from the beginning: each text of a picture has activations of its own
        each = torch.unflatten(maps, 0, (rows.texts, rows.repeats, n))[:, 0]
        return torch.cat([change(activations).flatten(0, 1) for activations in each])

    with _put_in(q, versions_of):
        try:
            output = q.forward(q.x.clone(), rows)
        except (RuntimeError, ValueError, IndexError, AssertionError):
            output = None
    if rows_of(output) == len(rows):
        return output
    with _put_in(q, versions_of):  # this model wants as many rows before the layer as behind it
        return q.forward(rows.per_text(torch.cat([q.x] * rows.repeats)), rows)


def _put_in_apart(q: Question, change: Change, rows: Rows) -> Iterator[Any]:
    """The outputs of the rows one after the other, each in a pass of its own."""
    tap = Tap(q.layer, picture=picture_of(q.x), detach=False)
    with tap.on(q.model):
        _, (leaves,) = independence.each_row(q, q.x, tap)
    each = torch.unflatten(torch.cat(leaves), 0, (rows.texts, rows.pictures))
    new = torch.cat([change(activations).flatten(0, 1) for activations in each])
    for row in range(len(rows)):
        text, n = row // (rows.repeats * rows.pictures), row % rows.pictures
        own = new[row : row + 1]
        with _put_in(q, lambda tensor, grid, own=own: own):  # type: ignore[misc]
            yield q.forward(q.x[n : n + 1].clone(), Rows(1, only=text * rows.pictures + n))


@contextlib.contextmanager
def _put_in(q: Question, made: Callable[[Tensor, Grid], Tensor]) -> Iterator[None]:
    """Put other activations where the layer's stood, made of its output and the way it is read."""
    layer, calls = q.layer, 0

    def put_in(module: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != (layer.call or 0):
            return None
        tensor, grid = read_grid(layer, output, picture_of(q.x))
        return replace_tensor(output, grid.write(tensor, made(tensor, grid)))

    handle = find_module(q.model, layer.name).register_forward_hook(put_in)
    try:
        yield
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
