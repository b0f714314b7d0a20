"""What people hand over as targets, checked before anything is computed: indices, names, functions, lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError
from mmcam.tasks.names import message_of, short


def single(wanted: Any, what: str = "class", function: bool = True) -> Any:
    """One target as an int, a str, a guarded function or None, which is the model's own choice.

    Args:
        wanted: a whole number of any type, a name, a function output → (N,), or None.
        what: a target is called in messages.
        function: functions are allowed.

    Raises:
        ExplainError: anything else, as floats, bools, bytes and sets.
    """
    if wanted is None or isinstance(wanted, str):
        return wanted
    if (index := whole_number(wanted)) is not None:
        return index
    if function and callable(wanted) and not isinstance(wanted, (Tensor, type)):
        return guarded(wanted)
    kinds = "an index, a name or a function of the output" if function else "an index or a name"
    article = "an" if what[0] in "aeio" else "a"
    raise ExplainError(f"{article.capitalize()} {what} is given by {kinds}, and {short(wanted)} is none.")


def whole_number(value: Any) -> int | None:
    """A whole number of Python, NumPy or torch as an int; None for anything else, and for truth values."""
    if isinstance(value, (Tensor, np.ndarray)):
        if value.ndim or not _whole(value):
            return None
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        return None
    try:
        return int(value.__index__())
    except TypeError:  # a class has the method for its instances
        return None


def spread(targets: Any) -> Any:
    """Targets in an array, a tensor or a range as a list of their numbers; all else as it is."""
    if isinstance(targets, (Tensor, np.ndarray)):
        return targets.tolist() if targets.ndim else targets.item()
    return list(targets) if isinstance(targets, range) else targets


def is_list(targets: Any) -> bool:
    """Whether several targets are handed over: a list, a tuple, a range, but no text."""
    return isinstance(targets, Sequence) and not isinstance(targets, (str, bytes, bytearray, memoryview))


def of_all(target: Any, pictures: int) -> Any:
    """A target of `attribute`: an index for all pictures, one a picture (LongTensor or array (N,)), or a function.

    Returns:
        An int, a list of ints, or a guarded function.

    Raises:
        ExplainError: anything else.
    """
    if isinstance(target, (Tensor, np.ndarray)) and target.ndim == 1 and _whole(target):
        if len(target) != pictures:
            raise ExplainError(f"There are {len(target)} classes for {pictures} pictures; give one a picture.")
        return target.tolist()
    checked = None if isinstance(target, str) else single(target)
    if checked is None:
        raise ExplainError(
            f"A target is a class index, a LongTensor (N,) with one a picture or a function output → (N,), and "
            f"{short(target)} is none."
        )
    return checked


def guarded(function: Any) -> Target:
    """A user's target function whose failures are told in a sentence, with the exception as its cause."""

    def score(output: Any) -> Tensor:
        try:
            value = function(output)
        except (ExplainError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ExplainError(
                f"The target function {called(function)!r} fails on the model's output with {type(error).__name__}"
                f"{': ' if str(error) else ''}{message_of(error)}"
            ) from error
        if isinstance(value, Tensor) and not value.is_floating_point():
            raise ExplainError(
                f"A target gives scores that can change a little, and {called(function)!r} gives {value.dtype}; leave "
                "out what rounds or chooses, as argmax does."
            )
        result: Tensor = value
        return result

    score.__name__ = called(function)
    return score


def called(function: Any) -> str:
    """What a function as target is called: by its name, "score" for a lambda."""
    name = getattr(function, "__name__", "score")
    return name.replace("<lambda>", "score") if isinstance(name, str) else "score"


def _whole(values: Any) -> bool:
    """An array or tensor of whole numbers, which truth values are not."""
    if isinstance(values, np.ndarray):
        return bool(np.issubdtype(values.dtype, np.integer))
    return not values.is_floating_point() and not values.is_complex() and values.dtype is not torch.bool
