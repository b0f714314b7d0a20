"""The registry: every method by its name, with what it needs and where it comes from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from mmcam.engine import Forward, Target


@dataclass(frozen=True)
class Maps:
    """What a method gives for T targets and N pictures.

    Attributes:
        values: cams (T,N,h,w) at the layer's resolution, or pixel maps (T,N,C,H,W) at the input's.
        scores: (T,N).
        weights: α (T,N,K) where the method weighs channels, else None.
    """

    values: Tensor
    scores: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Question:
    """What a method may look at: a model, how to run it, its pictures and the targets (see `mmcam.engine.run`)."""

    model: nn.Module
    forward: Forward
    x: Tensor
    targets: Sequence[Target]
    layer: str
    call: int | None = None
    fan: int = 1


@dataclass(frozen=True)
class Method:
    """A named method.

    Attributes:
        compute: from the question to its maps.
        pixels: the maps are over the input's pixels and channels, not the layer's cells.
        source: paper and equation.
    """

    name: str
    compute: Callable[[Question], Maps]
    source: str
    pixels: bool = False


METHODS: dict[str, Method] = {}


def register(
    name: str, source: str, *, pixels: bool = False
) -> Callable[[Callable[[Question], Maps]], Callable[[Question], Maps]]:
    """Make a function available as ``method=name`` in every explain function.

    Raises:
        ValueError: the name is taken.
    """

    def add(compute: Callable[[Question], Maps]) -> Callable[[Question], Maps]:
        if name in METHODS:
            raise ValueError(f"There is a method {name!r} already; register this one under another name.")
        METHODS[name] = Method(name, compute, source, pixels)
        return compute

    return add


def get(name: str) -> Method:
    """The method of a name.

    Raises:
        ValueError: there is none; the message lists all and the closest.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"There is no method {name!r}; {hint}There are: {', '.join(sorted(METHODS))}.")
    return METHODS[name]
