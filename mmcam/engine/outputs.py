"""The tensors inside whatever a model or layer gives, and the rows they hold."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.errors import ExplainError

Target = Callable[[Any], Tensor]
"""Turns the model's output for N pictures into N scores."""


def picture_of(x: Tensor) -> tuple[int, int]:
    """(H,W) of pictures (N,C,H,W)."""
    return x.shape[-2], x.shape[-1]


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of a layer's or model's output: itself, or in a tuple, list, mapping or plain object."""
    return next(tensors_in(output), None)


def tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors of a layer's or model's output, in the order it holds them."""
    if isinstance(output, Tensor):
        yield output
        return
    values: Iterable[Any] = output if isinstance(output, (tuple, list)) else ()
    if hasattr(output, "values"):
        values = output.values()
    elif is_plain(output):
        values = vars(output).values()
    for value in values:
        yield from tensors_in(value)


def rows_of(output: Any) -> int | None:
    """Length of the first tensor of an output, None where there is no tensor with rows."""
    tensor = first_tensor(output)
    return None if tensor is None or tensor.ndim == 0 else len(tensor)


def replace_tensor(output: Any, new: Tensor) -> Any:
    """The same structure with its first tensor replaced."""
    old = first_tensor(output)
    return map_tensors(output, lambda t: new if t is old else t)


def map_tensors(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to every tensor of a nested tuple, list or mapping, keeping its types."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        parts = [map_tensors(value, change) for value in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if isinstance(output, list):
        return [map_tensors(value, change) for value in output]
    if hasattr(output, "items"):
        return type(output)(**{key: map_tensors(value, change) for key, value in output.items()})
    if is_plain(output):
        return with_parts(output, {key: map_tensors(value, change) for key, value in vars(output).items()})
    return output


def any_scalar(tensor: Tensor) -> Tensor:
    """Its values in an arbitrary direction, recorded; a constant one's gradient a normalisation would swallow."""
    direction = torch.linspace(-1, 1, tensor.numel(), device=tensor.device).cos().view_as(tensor).to(tensor.dtype)
    with torch.enable_grad():
        return (tensor * direction).sum()


def is_plain(output: Any) -> bool:
    """A dataclass or another plain object that holds a model's tensors as its attributes."""
    return hasattr(output, "__dict__") and not callable(output) and not isinstance(output, (type, nn.Module))


def with_parts(output: Any, parts: Mapping[str, Any]) -> Any:
    """A copy of a plain object with other attributes."""
    new = copy.copy(output)
    for name, value in parts.items():
        object.__setattr__(new, name, value)  # it may be frozen
    return new


def score_of(target: Target, output: Any, n: int) -> Tensor:
    """A target's scores (N,) of an output for N pictures.

    Raises:
        ExplainError: they have another shape.
    """
    score = target(output)
    if not isinstance(score, Tensor) or score.shape not in ((n,), ()) or (score.ndim == 0 and n > 1):
        form = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ExplainError(f"A target must turn the output for {n} pictures into shape ({n},); this one gives {form}.")
    return score.reshape(n)
