"""Pictures, however many there are: one, a list, or whatever hands them out one after the other.

They are opened and explained a chunk at a time, so that memory is bounded; of a stream the results come as they are
made. What a picture gets does not depend on the others of its chunk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.engine.run import ROWS
from mmcam.errors import ExplainError, PictureError
from mmcam.explain.explained import as_list
from mmcam.image import Batch, Preprocess, Proportional, joined
from mmcam.image.open import check_tensor
from mmcam.tasks.asked import entries
from mmcam.tasks.names import short
from mmcam.tasks.targets import is_list, spread, whole_number

INPUT = 16 * 3 * 224 * 224
"""Numbers of the inputs of a chunk, unless told otherwise."""

ORIGINAL = 2**26
"""Pixels of its pictures as they were opened: 200 MB of bytes."""

MOST = 64
"""Pictures of it."""

Errors = Literal["raise", "skip"]
"""What becomes of a picture that cannot be explained: all ends, or its error stands in its place."""

Explain = Callable[..., Sequence[Any]]
"""(a batch, then of each thing that is asked an entry a picture) → one result a picture."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """How pictures are explained.

    Attributes:
        prepare: from what a user calls a picture to a batch of it.
        explain: see `Explain`.
        batch_size: pictures at a time; None for as many as memory is set aside for.
        errors: what becomes of a picture that cannot be explained.
    """

    prepare: Callable[[Any], Batch]
    explain: Explain
    batch_size: int | None = None
    errors: Errors = "raise"

    def __post_init__(self) -> None:
        """Raise ExplainError for a size or a choice that is none."""
        size = self.batch_size
        if size is not None and (whole_number(size) is None or size < 1):
            raise ExplainError(f"batch_size= is how many pictures are explained at a time, and {short(size)} is none.")
        if self.errors not in ("raise", "skip"):
            raise ExplainError(f'errors= is "raise" or "skip", and {short(self.errors)} is neither.')


def at_a_time(model: nn.Module, batch_size: int | None, preprocess: Preprocess | None = None) -> int | None:
    """Pictures at a time: as many as are asked for, else as many as the model says in ``at_a_time``.

    Those that are prepared as large as they are come one by one.
    """
    own = 1 if isinstance(preprocess, Proportional) else getattr(model, "at_a_time", None)
    return own if batch_size is None and isinstance(own, int) else batch_size


@dataclass
class _Chunk:
    """Pictures that are explained together.

    Attributes:
        batches: each picture as the model takes it, or why it cannot be used.
        asked: of each, what is asked.
    """

    batches: list[Batch | Exception] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def full(self, batch_size: int | None) -> bool:
        """No more pictures are to be added."""
        if batch_size is not None:
            return len(self.batches) >= batch_size
        opened = [batch for batch in self.batches if isinstance(batch, Batch)]
        inputs = sum(batch.x.numel() for batch in opened)
        largest = max((batch.x.numel() for batch in opened), default=0)
        pixels = sum(batch.pictures[0].width * batch.pictures[0].height for batch in opened)
        return len(self.batches) >= MOST or inputs + largest > INPUT or pixels > ORIGINAL


def explain_each(images: Any, asked: Mapping[str, Any], way: Way) -> Any:
    """Explain one picture, a list of them, or a stream.

    Args:
        images: a picture; a list, or an array or tensor (N,C,H,W); or anything else that can be iterated over, which
            hands out pictures or batches of them, alone or before their labels, as a ``DataLoader`` does.
        asked: what is asked, by what one of it is called: of one picture as it is, of several one for all or one each
            (see `mmcam.tasks.asked.entries`). Of a stream the entries may be a stream, too.
        way: how.

    Returns:
        A result; a list of them; or an iterator over them.

    Raises:
        ExplainError: not one entry a picture.
        PictureError: no picture, or one that cannot be used.
    """
    if isinstance(images, Tensor):
        check_tensor(images)
    if _is_one(images):
        with torch.inference_mode(False):  # tensors made in inference mode cannot be recorded
            return way.explain(way.prepare(images).rows([0]), *([spread(entry)] for entry in asked.values()))[0]
    listed = isinstance(images, (Sequence, Tensor, np.ndarray))
    if listed and not len(images):
        raise PictureError("There is no picture in the list; pass at least one.")
    if listed:
        each = [entries(wanted, len(images), what) for what, wanted in asked.items()]
        return as_list(_results(zip(images, *each, strict=True), way))
    return _results(_stream(images, asked), way)


def in_groups(
    model: nn.Module, batch: Batch, sizes: Sequence[tuple[int, Hashable]], explain: Callable[[Batch, list[int]], Any]
) -> list[Any]:
    """Explain pictures of equal cost together, in their order.

    Rows that are computed together are of one length and one number, so pictures of which more is asked, or longer
    texts, would have the others filled up to their own; and what does not fit into one pass behind the layer takes
    several, of which each walks back through the rows of all pictures. So a list never costs more than its pictures
    one by one.

    Args:
        model: what is explained.
        batch: the pictures.
        sizes: of each, its rows behind the layer (0: there is no bound), and what else has to be the same.
        explain: (some of the pictures, their numbers) → a result for each.
    """
    alike: dict[tuple[int, Hashable], list[int]] = {}
    for n, size in enumerate(sizes):
        alike.setdefault(size, []).append(n)
    results: list[Any] = [None] * len(sizes)
    for (rows, _), members in alike.items():
        most = max(1, min(ROWS, getattr(model, "most_rows", ROWS)) // rows) if rows else len(members)
        for start in range(0, len(members), most):
            some = members[start : start + most]
            for n, result in zip(some, explain(batch.rows(some), some), strict=True):
                results[n] = result
    return results


def per_owner(made: Sequence[Result], owners: Sequence[int], pictures: int) -> list[list[Result]]:
    """What was made for several things asked of each picture, a list a picture.

    Args:
        made: the results.
        owners: the picture of each.
        pictures: how many there are.
    """
    each: list[list[Result]] = [[] for _ in range(pictures)]
    for result, owner in zip(made, owners, strict=True):
        each[owner].append(result)
    return each


def _is_one(images: Any) -> bool:
    """Whether it is meant as one picture, or nothing that holds several."""
    if isinstance(images, (Tensor, np.ndarray)):
        return images.ndim != 4
    no_list = isinstance(images, (str, bytes, os.PathLike, Image.Image, Mapping, Set)) or hasattr(images, "__array__")
    return no_list or not (hasattr(images, "__iter__") or hasattr(images, "__getitem__"))


def _results(pairs: Iterable[tuple[Any, ...]], way: Way) -> Iterator[Any]:
    """One result a picture, as they are made."""
    chunk = _Chunk()
    for source, *asked in pairs:
        chunk.batches.append(_opened(source, way))
        chunk.asked.append(tuple(asked))
        if chunk.full(way.batch_size):
            yield from _explained(chunk, way)
            chunk = _Chunk()
    yield from _explained(chunk, way)


def _opened(source: Any, way: Way) -> Batch | Exception:
    try:
        with torch.inference_mode(False):
            return way.prepare(source).rows([0])
    except (ExplainError, PictureError) as error:
        if way.errors == "raise":
            raise
        return error


def _explained(chunk: _Chunk, way: Way) -> Sequence[Any]:
    """The results of a chunk; of a picture that cannot be explained, its error, if that is wanted."""
    opened = [n for n, batch in enumerate(chunk.batches) if isinstance(batch, Batch)]
    results: list[Any] = list(chunk.batches)
    try:
        found = _of_some(chunk, opened, way)
    except (ExplainError, PictureError):
        if way.errors == "raise":
            raise
        found = [_alone(chunk, n, way) for n in opened]
    for n, result in zip(opened, found, strict=True):
        results[n] = result
    return results


def _of_some(chunk: _Chunk, members: list[int], way: Way) -> Sequence[Any]:
    if not members:
        return []
    with torch.inference_mode(False):
        batch = joined([one for n in members if isinstance(one := chunk.batches[n], Batch)])
        return way.explain(batch, *map(list, zip(*(chunk.asked[n] for n in members), strict=True)))


def _alone(chunk: _Chunk, n: int, way: Way) -> Any:
    try:
        return _of_some(chunk, [n], way)[0]
    except (ExplainError, PictureError) as error:
        return error


def _stream(images: Any, asked: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Each picture of a stream with what is asked of it.

    Raises:
        ExplainError: there are more pictures than entries, or fewer.
    """
    given = {what: _entries(wanted) for what, wanted in asked.items()}
    end, count = object(), 0
    for picture in _pictures(images):
        own = tuple(next(each, end) for each in given.values())
        if end in own:
            what = list(given)[own.index(end)]
            raise ExplainError(f"There are more pictures than {what}s, of which there are {count}; give one a picture.")
        count += 1
        yield (picture, *own)
    for what, each in given.items():
        if not isinstance(each, repeat) and next(each, end) is not end:
            raise ExplainError(f"There are {count} pictures and more {what}s; give one a picture.")


def _entries(wanted: Any) -> Iterator[Any]:
    """What is asked of each picture of a stream."""
    wanted = spread(wanted)
    if is_list(wanted) or isinstance(wanted, Iterator):
        return map(spread, wanted)
    return repeat(wanted)


def _pictures(images: Any) -> Iterator[Any]:
    """The pictures of a stream one by one, out of batches and without labels."""
    if not hasattr(images, "__iter__") and hasattr(images, "__len__"):  # a data set that is read by index
        images = map(images.__getitem__, range(len(images)))
    for item in images:
        held = item[0] if isinstance(item, tuple) and item else item
        if isinstance(held, list):
            several = isinstance(held[0], (Tensor, np.ndarray)) and held[0].ndim == 4 if held else False
            held = held[0] if several else held  # a batch and its labels
        if isinstance(held, Mapping):
            raise PictureError(
                f"A batch of {', '.join(map(str, list(held)[:5]))} does not say which are the pictures; hand out "
                "pictures, or tuples that begin with them: (batch['image'] for batch in loader)."
            )
        many = isinstance(held, list) or (isinstance(held, (Tensor, np.ndarray)) and held.ndim == 4)
        yield from held if many else [held]
