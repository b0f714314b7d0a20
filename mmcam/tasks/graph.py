"""What autograd's graph tells of a tensor: the operation that made it, and what it was computed from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor

MOVING = (
    "View", "UnsafeView", "ReshapeAlias", "Alias", "Select", "Slice", "Split", "Clone", "Unflatten", "Squeeze", "Index",
    "Unsqueeze", "ToCopy", "Expand", "Permute", "Transpose", "T", "Gather", "Unbind",
)  # fmt: skip
"""Operations, by their names in autograd, that move or choose values and do not change them."""


def operation(tensor: Tensor) -> str:
    """The name in autograd of the operation that made a tensor's values, e.g. "Softmax"; "" without a graph."""
    node = _origin(tensor)
    return "" if node is None else _name(node)


def computed_from(tensor: Tensor, other: Tensor) -> bool:
    """Whether a tensor's values were computed from another's, and not both from the same."""
    origin, own = _origin(other), _origin(tensor)
    if origin is None or own is None or origin is own:
        return False
    return any(node is origin for node in _ancestors(own, None))


def behind(tensor: Tensor, through: Collection[str]) -> Iterator[str]:
    """The names of the operations that made a tensor's values, looking through some kinds of them."""
    if tensor.grad_fn is not None:
        yield from (_name(node) for node in _ancestors(tensor.grad_fn, through) if _name(node) not in through)


def _origin(tensor: Tensor) -> Any:
    """The node of the operation that made the values, past those that only move them."""
    node: Any = tensor.grad_fn
    while node is not None and _name(node) in MOVING:
        inputs = [before for before, _ in node.next_functions if before is not None]
        if not inputs:
            break
        node = inputs[0]
    return node


def _ancestors(node: Any, through: Collection[str] | None) -> Iterator[Any]:
    """A node and all before it; where kinds to go through are given, those before one of another kind are left out."""
    seen, waiting = {node}, [node]
    while waiting:
        node = waiting.pop()
        yield node
        if through is not None and _name(node) not in through:
            continue
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)


def _name(node: Any) -> str:
    """Without its ending: Softmax, not SoftmaxBackward0."""
    return str(node.name()).partition("Backward")[0]
