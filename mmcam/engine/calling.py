"""A model is called with pictures and nothing else: how, and what is said where it cannot be."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.computation import Forward
from mmcam.errors import ExplainError, PictureError

_OWN_PROBLEM = (TypeError, KeyError, IndexError, AttributeError)
"""What a model raises that wants its pictures in another form: as a mapping, a list, with something beside them."""

_PICTURES = ("pixel_values", "images", "image", "img", "pixels")


def on_pictures(model: nn.Module) -> Forward:
    """The forward of a model of pictures alone.

    Where rows are repeated behind a layer, exceptions that this may be the cause of pass: the engine knows another way.
    """

    def forward(x: Tensor, rows: Any) -> Any:
        if len(x) * rows.texts == len(rows):
            return called(model, x)
        try:
            return model(x)
        except (TypeError, KeyError, AttributeError) as error:
            raise ExplainError(_sentence(model, x, error)) from error

    return forward


def called(model: nn.Module, x: Tensor) -> Any:
    """What a model makes of pictures (N,C,H,W).

    Raises:
        ExplainError: it cannot take them: it needs further inputs, another form, size or number of channels. The
            sentence shows what to pass, or the wrapper to write.
    """
    try:
        return model(x)
    except (ExplainError, PictureError, torch.OutOfMemoryError):
        raise
    except (*_OWN_PROBLEM, RuntimeError, ValueError, AssertionError) as error:
        raise ExplainError(_sentence(model, x, error)) from error


def first_channels(model: nn.Module) -> int | None:
    """How many channels the first registered convolution (or patch projection) takes; None where there is none."""
    return next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), None)


def _sentence(model: nn.Module, x: Tensor, error: Exception) -> str:
    name, own = type(model).__name__, " ".join(f"{type(error).__name__}: {error}".split())[:200]
    required = _required(model)
    if isinstance(error, TypeError) and (others := _besides(required)):
        return f"{name} needs {' and '.join(others)} besides the picture; fill it in with {_wrapper(required)}"
    problem = f"{name} cannot take an input of shape {tuple(x.shape)} ({own})"
    channels = first_channels(model)
    if isinstance(error, RuntimeError) and channels not in (None, x.shape[1]):
        return (
            f"{problem}: the input has {_counted(x.shape[1])} and its first convolution takes {channels}; pass "
            "pictures of as many channels, and preprocess=mmcam.Preprocess(mean=…, std=…) with a number for each."
        )
    if isinstance(error, _OWN_PROBLEM):
        return f"{problem}; if it takes pictures in another form, give it that with {_wrapper(required)}"
    size = "preprocess=mmcam.Preprocess(size=(height, width))"
    return f"{problem}; pass pictures of the size it was made for, as with {size}."


def _required(model: nn.Module) -> list[inspect.Parameter]:
    """The inputs that a model's forward has no default for."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return []
    return [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _picture(required: list[inspect.Parameter]) -> inspect.Parameter | None:
    """The input that takes the picture: by its name, else the first."""
    return next((p for p in required if p.name in _PICTURES), required[0] if required else None)


def _besides(required: list[inspect.Parameter]) -> list[str]:
    picture = _picture(required)
    others = [repr(p.name) for p in required if p is not picture]
    by_keyword = picture is not None and (picture.kind is picture.KEYWORD_ONLY or picture is not required[0])
    return others or ([f"the name {picture.name!r}"] if picture and by_keyword else [])


def _wrapper(required: list[inspect.Parameter]) -> str:
    """The three lines of a module that hands pictures on as a model wants them."""
    picture = _picture(required)
    in_front = picture is None or (picture is required[0] and picture.kind is not picture.KEYWORD_ONLY)
    given = ["x"] if in_front else []
    given += [f"{p.name}={'x' if p is picture else '…'}" for p in required if p is not picture or not in_front]
    if len(required) < 2 and in_front:
        given = ["{'pixel_values': x}"]
    return (
        "a wrapper of three lines: `class Wrapped(torch.nn.Module):` / `    def __init__(self, model): "
        f"super().__init__(); self.model = model` / `    def forward(self, x): return self.model({', '.join(given)})`."
    )


def _counted(channels: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'}"
