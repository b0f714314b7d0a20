"""The same picture in several rows goes through the encoder once.

Where nothing lies between the pixels and the encoder that could multiply the rows (masked and noisy pictures, gradients
at the pixels), a picture comes in as often as there are texts about it, and as often as it stands in the batch, for
several answers or captions. A model that names its `picture_encoder` sees each of them once; what comes behind it gets
all rows.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Computation
from mmcam.engine.independence import close
from mmcam.engine.instead import instead
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import map_tensors, tensors_in

_by_row: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
"""Of encoders: whether all that they give has a row for each picture. Looked at once, by a run of all rows."""

SAMPLES = 64
"""Numbers of a picture that are compared before all of them are."""


@contextlib.contextmanager
def seen_once(c: Computation, among_pictures: bool = True) -> Iterator[None]:
    """Inside, the encoder computes equal rows of `Rows.per_text(c.x)` once; where they are not equal, all of them.

    Args:
        c: its model is run inside `mmcam.engine.as_found.as_found`.
        among_pictures: look for equal pictures in the batch, too, not only for the texts of one.
    """
    named = getattr(c.model, "picture_encoder", None)
    like = _alike(c, among_pictures) if isinstance(named, str) and named else None
    if like is None:
        yield
        return
    encoder, rows = find_module(c.model, str(named)), like
    first, back = torch.unique(rows, return_inverse=True)
    original = encoder.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *kwargs.values()]
        if not _repeats([t for t in given if isinstance(t, Tensor)], rows):
            return original(*args, **kwargs)
        if _by_row.get(encoder) is False:
            return original(*args, **kwargs)
        fewer = [_fewer(each, first) for each in args]
        output = original(*fewer, **{name: _fewer(each, first) for name, each in kwargs.items()})
        if encoder not in _by_row:
            whole = original(*args, **kwargs)
            _by_row[encoder] = _same(output, whole, back, len(first))
            return whole
        return map_tensors(output, lambda t: t[back])

    with instead({encoder: forward}):
        yield


def _alike(c: Computation, among_pictures: bool) -> Tensor | None:
    """For each row the first that should be the same; None where all differ."""
    n = torch.arange(len(c.x), device=c.x.device)
    if among_pictures and c.pictures > 1:
        pictures = c.x[: c.pictures].flatten(1)
        some = pictures[:, :: max(1, pictures.shape[1] // SAMPLES)]
        same = (some[:, None] == some[None]).all(2).int().argmax(1)
        n = (n - n % c.pictures) + same[n % c.pictures]
    rows = n.repeat(c.texts)
    return None if len(rows.unique()) == len(rows) else rows


def _repeats(tensors: list[Tensor], rows: Tensor) -> bool:
    """Whether each row of the encoder's inputs is the one that it should be."""
    fit = bool(tensors) and all(t.ndim > 0 and len(t) == len(rows) for t in tensors)
    return fit and all(torch.equal(t, t[rows]) for t in (own.detach() for own in tensors))


def _same(output: Any, whole: Any, back: Tensor, count: int) -> bool:
    """Whether an output for `count` rows is that for all of them once each row stands where it belongs."""
    few, every = list(tensors_in(output)), list(tensors_in(whole))
    if not few or len(few) != len(every) or any(t.ndim == 0 or len(t) != count for t in few):
        return False
    return all(own[back].shape == t.shape and close(own[back], t) for own, t in zip(few, every, strict=True))


def _fewer(given: Any, first: Tensor) -> Any:
    return given[first] if isinstance(given, Tensor) else given
