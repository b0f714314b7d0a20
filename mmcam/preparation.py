"""A user's pictures as a model takes them: its own preparation, or the one that is given."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.adapters.timm import timm_preprocess
from mmcam.adapters.torchvision import torchvision_preprocess
from mmcam.engine.as_found import as_found
from mmcam.engine.calling import first_channels
from mmcam.errors import PictureError
from mmcam.image import Batch, Preprocess, prepare, prepared, preprocess_of
from mmcam.image.batch import AS_GIVEN
from mmcam.tasks.anything import forward_of

_taken: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], bool]] = weakref.WeakKeyDictionary()


def batch_of(module: nn.Module, images: Any, preprocess: Any) -> Batch:
    """What a user calls a picture, or a list of them, as the model takes them; `preprocess` None is the model's own.

    Where none is given, a model whose first convolution takes one channel gets grey pictures, normalised by the average
    of the colours' means and deviations.

    Raises:
        PictureError: a picture that cannot be used, or a number of channels whose scale is not known.
    """
    every = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    unprepared = not all(map(prepared, every))
    made, assumed = pictures_preparation(module, preprocess) if unprepared else preparation_of(module, preprocess)
    like = _like(module)
    return as_assumed(prepare(images, made, like.device, like.dtype), assumed)


def pictures_preparation(module: nn.Module, preprocess: Any = None) -> tuple[Preprocess, bool]:
    """As `preparation_of`, for as many channels as the model takes: all that another process needs to prepare pictures.

    Raises:
        PictureError: a number of channels whose scale is not known.
    """
    made, assumed = preparation_of(module, preprocess)
    return (by_channels(module, made) if preprocess is None else made), assumed


def as_assumed(batch: Batch, assumed: bool) -> Batch:
    """A batch that tells whether its preparation was only assumed."""
    if not assumed:
        return batch
    told = [how if how == AS_GIVEN else f"{how} (assumed)" for how in batch.preparations]
    return replace(batch, preparations=told)


def placed(module: nn.Module, batch: Batch) -> Batch:
    """A batch that was prepared elsewhere, on the model's device and of its type."""
    like = _like(module)
    return replace(batch, x=batch.x.to(like.device, like.dtype))


def preparation_of(module: nn.Module, preprocess: Any = None) -> tuple[Preprocess, bool]:
    """How a model's pictures are made, and whether that is only assumed.

    It is what was given, else the model's own ``preprocess``, else what the library that a network comes from says
    (timm, torchvision). Where nothing says, ImageNet's usual way is assumed: resize to 256, crop to 224.
    """
    given = getattr(module, "preprocess", None) if preprocess is None else preprocess
    if given is not None:
        return preprocess_of(given), False
    known = timm_preprocess(module) or torchvision_preprocess(module)
    return (Preprocess(resize=256), True) if known is None else (known, False)


def _like(module: nn.Module) -> Tensor:
    """A tensor on the device and of the type that a model computes with."""
    return next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))


def by_channels(module: nn.Module, preprocess: Preprocess) -> Preprocess:
    """The preparation for as many channels as a model takes.

    The first convolution may see less than the model: one that makes colours grey itself takes colours. So it decides
    only where the model does not run on what the preparation gives.
    """
    channels, usual = first_channels(module), len(preprocess.mean)
    if channels is None or channels == usual or _takes(module, (usual, *preprocess.size)):
        return preprocess
    if not _takes(module, (channels, *preprocess.size)):
        return preprocess  # it fails for another reason, which its forward will tell
    if channels == 1:
        mean, std = (sum(values) / len(values) for values in (preprocess.mean, preprocess.std))
        return replace(preprocess, mean=(mean,), std=(std,))
    raise PictureError(
        f"{type(module).__name__} takes {channels} channels, and how each is scaled is not known; pass "
        f"preprocess=mmcam.Preprocess(mean=…, std=…) with {channels} numbers each, or prepared float tensors "
        f"({channels},H,W)."
    )


def _takes(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a model runs on inputs (C,H,W); tried once."""
    known = _taken.setdefault(module, {})
    if shape not in known:
        try:
            with as_found(module):
                forward_of(module)(torch.zeros(1, *shape).to(_like(module)))
            known[shape] = True
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError):
            known[shape] = False
    return known[shape]
