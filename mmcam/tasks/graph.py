"""What autograd's graph tells of a tensor: the operation that made it, and what it was computed from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

_SAME_VALUES = ("View", "UnsafeView", "ReshapeAlias", "Alias", "Select", "Slice", "Clone", "Unflatten", "Squeeze")
_SAME_VALUES += ("Unsqueeze", "ToCopy", "Expand", "Permute", "Transpose", "T", "Gather", "Index", "Unbind")
"""Operations, by their names in autograd, that move or choose values and do not change them."""


def operation(tensor: Tensor) -> str:
    """The name in autograd of the operation that made a tensor's values, e.g. "SoftmaxBackward0"; "" without a graph."""
    node = _origin(tensor)
    return "" if node is None else str(node.name())


def computed_from(tensor: Tensor, other: Tensor) -> bool:
    """Whether a tensor's values were computed from another's, and not both from the same."""
    origin, own = _origin(other), _origin(tensor)
    if origin is None or own is None or origin is own:
        return False
    return any(node is origin for node in _ancestors(own))


def _origin(tensor: Tensor) -> Any:
    """The node of the operation that made the values, past those that only move them."""
    node: Any = tensor.grad_fn
    while node is not None and str(node.name()).partition("Backward")[0] in _SAME_VALUES:
        inputs = [before for before, _ in node.next_functions if before is not None]
        if not inputs:
            break
        node = inputs[0]
    return node


def _ancestors(node: Any) -> Iterator[Any]:
    """A node and all before it."""
    seen, waiting = {node}, [node]
    while waiting:
        node = waiting.pop()
        yield node
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)
