"""A layer as the engine reads it: by name, at one of its calls, as a map of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True)
class Grid:
    """How to read a layer's output as a map, and how to put a changed map back.

    Attributes:
        read: the output's tensor → (N,K,h,w).
        write: the output's tensor and a map with any multiple of its rows → a tensor like the output's with as many
            rows; what is no part of the map (class tokens, padding) is repeated.
        form: for messages, e.g. "14×14 tokens after 1 other".
    """

    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor, Tensor], Tensor]
    form: str = ""


@dataclass(frozen=True)
class Layer:
    """Where activations are read.

    Attributes:
        name: dotted, as in ``model.named_modules()``.
        grid: the output's tensor and the picture's size → how it lies over the picture; None if it does not.
        call: which run of a layer that runs several times in one forward, from 0; None: it runs once.
        cells: how it is known where its cells lie: "convolutional", "declared" or "measured"; "" if it is not.
        reason: why it is not known, as the end of a sentence.
    """

    name: str
    grid: Callable[[Tensor, Size], Grid | None]
    call: int | None = None
    cells: str = ""
    reason: str = ""
