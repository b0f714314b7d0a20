"""Which of the tensors that a language model is given hang on the picture, and where: its routes.

Found by comparing what it is given for two pictures. Most models put the picture's vectors among those of the words;
some hand over further ones for later layers (DeepStack), some only to cross-attention. All of them together, one row a
place, are what is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcam.adapters.transformers.structure.handover import Call
from mmcam.errors import ExplainError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Route:
    """One of the tensors.

    Attributes:
        path: where it stands in the call.
        at: its places that hang on the picture, all axes but the channels flattened.
        width: its channels.
        marks: the ids that stand at these places of the prompt, if it has a place for each of the prompt's tokens;
            then `at` counts among the tokens of those ids.
    """

    path: Path
    at: Tensor
    width: int
    marks: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Routes:
    """All ways on which a picture reaches a language model.

    Attributes:
        each: at least one; all have as many places.
    """

    each: Sequence[Route]

    @property
    def places(self) -> int:
        """P."""
        return len(self.each[0].at)

    def take(self, call: Call, ids: Tensor) -> Tensor:
        """The vectors (P, K) of the picture in a call; K are the channels of all routes.

        Raises:
            ExplainError: the prompt has another number of places.
        """
        tensors = dict(_tensors(call))
        return torch.cat([tensors[r.path].flatten(0, -2)[_at(r, ids)] for r in self.each], dim=-1)

    def among_words(self, ids: Tensor) -> Tensor | None:
        """Where the picture's vectors stand among the tokens (L,) of a prompt; None if they come on another way."""
        route = next((r for r in self.each if r.marks and r.path[0] == "inputs_embeds"), None)
        return None if route is None else _at(route, ids)

    def put(self, call: Call, ids: Tensor, rows: Tensor) -> Call:
        """The same call for several rows (R, P, K) of vectors; everything else is repeated."""
        parts = dict(zip([r.path for r in self.each], rows.split([r.width for r in self.each], -1), strict=True))
        at = {r.path: _at(r, ids) for r in self.each}
        count = len(rows)

        def changed(path: Path, tensor: Tensor) -> Tensor:
            if path not in parts:
                return _repeated(tensor, count)
            flat = tensor.detach().flatten(0, -2).expand(count, -1, -1)
            new = flat.index_copy(1, at[path], parts[path].to(tensor.dtype))
            return new.reshape(count * tensor.shape[0], *tensor.shape[1:])

        made: Call = _mapped(call, changed)
        return made


def find_routes(one: Call, other: Call, ids: Tensor) -> Routes:
    """The routes, from the calls for two pictures and the same prompt.

    Args:
        one, other: the calls.
        ids: the prompt's tokens (L,).

    Raises:
        ExplainError: something but tensors of numbers hangs on the picture, or there are no vectors that do.
    """
    first, second = dict(_tensors(one)), dict(_tensors(other))
    if {path: t.shape for path, t in first.items()} != {path: t.shape for path, t in second.items()}:
        raise ExplainError("The number of vectors that the language model is given hangs on what the picture shows.")
    routes = []
    for path, tensor in first.items():
        own = second[path]
        if not tensor.is_floating_point() or tensor.ndim < 2:
            if not torch.equal(tensor, own):
                raise ExplainError(f"The language model is given numbers that hang on the picture ({path[0]}).")
            continue
        apart = (tensor.float() - own.float()).abs().nan_to_num().flatten(0, -2).amax(-1)
        at = (apart > 1e-6 * tensor.float().nan_to_num(0, 0, 0).abs().amax()).nonzero()[:, 0]
        if len(at):
            routes.append(_route(path, tensor, at, ids))
    if not routes:
        raise ExplainError("Nothing that the language model is given hangs on the picture.")
    if len({len(r.at) for r in routes}) > 1:
        raise ExplainError(
            "The picture reaches the language model on several ways with different numbers of places: "
            f"{', '.join(f'{len(r.at)} in {r.path[0]}' for r in routes)}."
        )
    return Routes(routes)


def _route(path: Path, tensor: Tensor, at: Tensor, ids: Tensor) -> Route:
    if tensor.flatten(0, -2).shape[0] != len(ids):
        return Route(path, at, tensor.shape[-1])
    marks = frozenset(ids[at].tolist())
    among = torch.full_like(ids, -1)
    marked = _marked(ids, marks)
    among[marked] = torch.arange(len(marked), device=ids.device)
    return Route(path, among[at], tensor.shape[-1], marks)


def _marked(ids: Tensor, marks: frozenset[int]) -> Tensor:
    return torch.isin(ids, torch.tensor(sorted(marks), device=ids.device)).nonzero()[:, 0]


def _at(route: Route, ids: Tensor) -> Tensor:
    if not route.marks:
        return route.at
    marked = _marked(ids, route.marks)
    if len(marked) <= int(route.at.max()):
        raise ExplainError(
            f"The prompt has {len(marked)} places for the picture, whose vectors are more than {int(route.at.max())}; "
            "write the picture's token into it once."
        )
    return marked[route.at]


def _repeated(tensor: Tensor, count: int) -> Tensor:
    """A tensor of one row as several; rotary positions have their rows on the second axis."""
    if count == 1 or tensor.ndim < 2:
        return tensor
    axis = 0 if tensor.shape[0] == 1 else 1 if tensor.ndim == 3 and tensor.shape[1] == 1 else None
    return tensor if axis is None else torch.cat([tensor] * count, dim=axis)


def _tensors(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _tensors(part, (*path, name))
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            yield from _tensors(part, (*path, place))


def _mapped(value: Any, change: Callable[[Path, Tensor], Tensor], path: Path = ()) -> Any:
    if isinstance(value, Tensor):
        return change(path, value)
    if isinstance(value, dict):
        return {name: _mapped(part, change, (*path, name)) for name, part in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_mapped(part, change, (*path, place)) for place, part in enumerate(value))
    return value
