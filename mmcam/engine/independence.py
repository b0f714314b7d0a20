"""Are the rows of a batch independent? Only then are several maps made in one pass.

A model that looks across its batch (a mean over the rows, a batch norm that always uses its batch) gives every picture
a map that hangs on its neighbours, and every target one that hangs on its copies. Equal scores alone do not show it:
rows that are copies have a mean that is their own. So a row has to come out as it does alone, and to have no gradient
at any other row. Both are looked at once, when a model first gets more than one row at a layer, and remembered.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Computation
from mmcam.engine.outputs import any_scalar, is_plain, score_of, tensors_in, with_parts
from mmcam.engine.random_state import random_state_kept
from mmcam.engine.rows import Rows
from mmcam.engine.tap import Tap
from mmcam.engine.weights import unrecordable
from mmcam.errors import ExplainError

Where = tuple[str, int | None]
"""A layer and its call, or what else the rows are those of."""

Ends = Sequence[Any]
"""The outputs of the first and the last row."""

_known: weakref.WeakKeyDictionary[nn.Module, dict[Where, bool]] = weakref.WeakKeyDictionary()

_CLOSE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""How far apart a row alone and among others may be, relative to its largest value; what is coupled more weakly is seen
by its gradient. Half precision: 0.05."""


def known(model: nn.Module, where: Where) -> bool | None:
    """Whether rows are independent there; None: not looked at yet."""
    return _known.get(model, {}).get(where)


def note(model: nn.Module, where: Where, independent: bool) -> bool:
    """Remember what was found, and give it back."""
    _known.setdefault(model, {})[where] = independent
    return independent


def look(c: Computation, where: Where, alone: Ends, output: Any, rows: Rows, leaf: Tensor) -> bool:
    """Whether the rows of an output are independent; remembered.

    Args:
        c: whose rows they are.
        where: behind what.
        alone: the outputs of the first and the last row, in a pass of their own each.
        output: of all rows.
        rows: what they are.
        leaf: what the output was recorded from, a row for each.
    """
    count = len(rows)
    if not _tensors(output, count):  # rows along another axis: the first target reads them
        output, alone = _scores(c, output, rows), [_scores(c, end, Rows(1)) for end in alone]
        if output is None:
            return note(c.model, where, False)
        count = len(output)
    return note(c.model, where, has_own_gradient(output, count, leaf) and as_alone(alone, output, count))


def _scores(c: Computation, output: Any, rows: Rows) -> Tensor | None:
    """The first target's scores of the first rows, None where it does not read such an output."""
    try:
        with torch.enable_grad():
            return score_of(c.targets[0], rows.blocks(output)[0], rows.pictures)
    except (ExplainError, RuntimeError, ValueError, IndexError, KeyError, TypeError):
        return None


def of_pictures(c: Computation) -> bool:
    """Whether the pictures of a batch are independent from the pixels on; looked at once a model, with two of them."""
    where = ("pixels", None)
    found = known(c.model, where)
    if found is not None:
        return found
    two = c.x[:2] if len(c.x) > 1 else c.x.repeat(2, 1, 1, 1)
    alone = [_alone(c, row, 0) for row in two.split(1)]
    recordable = not unrecordable(c.model)  # methods of forward passes alone work for other models, too
    with torch.set_grad_enabled(recordable):
        leaf = two.detach().clone().requires_grad_(recordable)
        output = c.alone(leaf.clone())  # a copy: the model may work in place on its input
    with torch.no_grad():
        return look(c, where, alone, output, Rows(1, repeats=2, only=0), leaf)


def ends_alone(c: Computation) -> Ends:
    """The outputs of the first and the last row, each in a pass of its own with the numbers the next pass will draw."""
    first = _alone(c, c.x[:1], 0)
    last = c.texts * c.pictures - 1
    return [first, first if len(c.x) == 1 and last == 0 else _alone(c, c.x[-1:], last)]


def _alone(c: Computation, x: Tensor, entry: int) -> Any:
    with torch.no_grad(), drawn_again(c):
        return c.forward(x.clone(), Rows(1, only=entry))


def drawn_again(c: Computation) -> contextlib.AbstractContextManager[Any]:
    """Draw in a pass what the next one will draw: a model that draws at random shall do so alike for every row."""
    return random_state_kept(c.model)


def as_alone(alone: Ends, among: Any, rows: int) -> bool:
    """Whether the first and the last row of an output are what they were alone, as far as the two can be compared."""
    for end, row in zip(alone, (0, rows - 1), strict=True):
        pairs = zip(_tensors(end, 1), _tensors(among, rows), strict=False)
        if not all(close(one[0], many[row]) for one, many in pairs if one.shape[1:] == many.shape[1:]):
            return False
    return True


def has_own_gradient(output: Any, rows: int, leaf: Tensor) -> bool:
    """Whether the first of an output's rows has no gradient at any row of a leaf but the first."""
    tensors = [tensor for tensor in _tensors(output, rows) if tensor.requires_grad]
    if not tensors:
        return True
    with torch.enable_grad():
        first = torch.stack([any_scalar(tensor[0]).float() for tensor in tensors]).sum()
        (gradient,) = torch.autograd.grad(first, leaf, retain_graph=True, allow_unused=True)
    return gradient is None or not gradient[1:].nan_to_num().any()


def each_row(
    c: Computation, x: Tensor, tap: Tap | None = None, forward: Callable[[Callable[[], Any]], Any] | None = None
) -> tuple[Any, list[list[Tensor]]]:
    """Every row in a pass of its own: the outputs joined in the order of `c.rows()`, and each layer's leaves by row.

    Args:
        c: the computation.
        x: its pictures, perhaps recorded.
        tap: on the layers, if leaves are wanted.
        forward: runs a pass; default as it is.

    Raises:
        ExplainError: the outputs of single rows cannot be joined.
    """
    outputs, leaves = [], list[list[Tensor]]()
    for row in range(c.texts * len(x)):
        picture = row % len(x)
        rows = Rows(1, only=row // len(x) * c.pictures + picture % c.pictures)

        def one(picture: int = picture, rows: Rows = rows) -> Any:
            return c.forward(x[picture : picture + 1].clone(), rows)

        if tap is not None and forward is None:
            tap.reset(1)
        with drawn_again(c):
            outputs.append(one() if forward is None else forward(one))
        if tap is not None:
            tap.check()
            leaves.append(tap.leaves)
    with torch.enable_grad():  # recorded if the outputs are
        return joined(outputs), [list(of_layer) for of_layer in zip(*leaves, strict=True)]


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of one row each, of one structure, as that of all rows.

    Raises:
        ExplainError: they differ in more than their values.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if first.ndim == 0 or len({out.shape[1:] for out in outputs}) > 1:
            raise ExplainError(
                "The pictures of this model influence each other, and its outputs for single ones have different "
                "shapes; pass one picture and one target at a time."
            )
        return torch.cat(list(outputs))
    if isinstance(first, tuple):
        parts = [joined(part) for part in zip(*outputs, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, list):
        per_picture = len(first) == 1 and not isinstance(first[0], Tensor)
        return (
            [one for out in outputs for one in out] if per_picture else [joined(p) for p in zip(*outputs, strict=True)]
        )
    if hasattr(first, "items"):
        return type(first)(**{key: joined([out[key] for out in outputs]) for key in first})
    if is_plain(first):
        return with_parts(first, {key: joined([vars(out)[key] for out in outputs]) for key in vars(first)})
    return first


def _tensors(output: Any, rows: int) -> list[Tensor]:
    return [t for t in tensors_in(output) if t.is_floating_point() and t.ndim and len(t) == rows]


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same but for rounding."""
    one, other = one.detach(), other.detach()
    most = one[one.isfinite()].abs().amax() if one.isfinite().any() else one.new_zeros(())
    apart = (one - other).abs().nan_to_num(0, 0, 0)  # infinities at the same place are alike
    return bool((apart <= _CLOSE.get(one.dtype, 0.05) * most + 1e-12).all())
