"""Observations: what a policy is shown, as the environment hands it out.

An observation is no photograph. It may be a stack of grey frames, and what is done to it is the policy's own business:
so an array or tensor of bytes goes to the policy as it is, its values unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.errors import PictureError
from mmcam.image import Batch, Geometry, Preprocess, prepare, preprocess_of

_PICTURE = (
    "How the policy sees a {} is not known; pass the observation as an array or tensor, or say with preprocess= how it "
    "is made."
)


def observe(policy: nn.Module, observations: Any, preprocess: Any = None) -> Batch:
    """What a user calls an observation, or a list of them, as the policy takes them.

    Args:
        policy: whose device, dtype and number of channels (of the first convolution) count.
        observations: arrays or tensors (C,H,W), (H,W,C) or (H,W), or what ``numpy.asarray`` makes one of; (N,C,H,W) and
            lists are several. With a `Preprocess`, pictures of any kind (see `mmcam.image.prepare`).
        preprocess: a `Preprocess` or torchvision's transforms, for pictures; or a function from one observation to a
            float tensor (C,H,W). Default the policy's own ``preprocess``; without one, values stay as they are. Float
            tensors are taken as prepared in any case.

    Returns:
        The batch. The picture of an observation is its newest frame: the last channel, or the last three of RGB.

    Raises:
        PictureError: an observation of another form, or none.
    """
    parameter = next((p for p in policy.parameters() if p.is_floating_point()), torch.empty(0))
    preprocess = getattr(policy, "preprocess", None) if preprocess is None else preprocess
    if preprocess is not None and (isinstance(preprocess, Preprocess) or hasattr(preprocess, "crop_size")):
        return prepare(observations, preprocess_of(preprocess), parameter.device, parameter.dtype)
    each, single = _listed(observations)
    channels = next((m.in_channels for m in policy.modules() if isinstance(m, nn.Conv2d)), None)
    tensors = [_tensor(observation, preprocess, channels) for observation in each]
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        raise PictureError(f"Observations of one batch need one shape; these are {sorted(shapes)}.")
    size = (tensors[0].shape[1], tensors[0].shape[2])
    x = torch.stack([x.detach().to(parameter.device, parameter.dtype) for x in tensors])
    return Batch(x, [_newest(x) for x in tensors], [Geometry(size, size)] * len(tensors), single)


def _listed(observations: Any) -> tuple[list[Any], bool]:
    """The observations one by one, and whether there was but one, not in a list."""
    if not isinstance(observations, (Tensor, np.ndarray, list, tuple)) and hasattr(observations, "__array__"):
        if isinstance(observations, Image.Image):
            raise PictureError(_PICTURE.format(type(observations).__name__))
        observations = np.asarray(observations)  # gymnasium's LazyFrames
    stacked = isinstance(observations, (Tensor, np.ndarray)) and observations.ndim == 4
    single = not stacked and not isinstance(observations, (list, tuple))
    each = [observations] if single else list(observations)
    if not each:
        raise PictureError("There is no observation in the list; pass at least one.")
    return each, single


def _tensor(observation: Any, preprocess: Callable[[Any], Any] | None, channels: int | None) -> Tensor:
    """One observation as (C,H,W)."""
    prepared = isinstance(observation, Tensor) and observation.is_floating_point()
    if preprocess is not None and not prepared:
        observation = preprocess(observation)
    elif isinstance(observation, Image.Image) or not (
        isinstance(observation, Tensor) or hasattr(observation, "__array__")
    ):
        raise PictureError(_PICTURE.format(type(observation).__name__))
    if not isinstance(observation, Tensor):
        array = np.asarray(observation)
        if array.dtype.kind not in "buif":
            raise PictureError(f"An observation holds numbers; this one is of {array.dtype}.")
        observation = torch.as_tensor(np.ascontiguousarray(array))
    x = _channels_first(observation, channels)
    if not torch.isfinite(x).all():
        raise PictureError("The observation holds NaN or infinite values; pass finite ones.")
    return x


def _channels_first(observation: Tensor, channels: int | None) -> Tensor:
    """An observation of any form as (C,H,W), as many channels as the policy reads."""
    x = observation[None] if observation.ndim == 2 else observation
    if x.ndim != 3 or not x.numel():
        raise PictureError(f"An observation has shape (C,H,W), (H,W,C) or (H,W); this one is {tuple(x.shape)}.")
    if channels is not None and x.shape[0] != channels:
        if x.shape[2] != channels:
            raise PictureError(
                f"The policy reads {channels} channels, and this observation has shape {tuple(x.shape)}; stack as many "
                f"frames as ({channels},H,W)."
            )
        x = x.permute(2, 0, 1)
    return x


def _newest(x: Tensor) -> Image.Image:
    """The newest frame of an observation (C,H,W), for display: environments stack the newest last."""
    colour = x.shape[0] % 3 == 0
    frame = (x[-3:] if colour else x[-1:]).detach().float().cpu()
    if x.dtype != torch.uint8:  # bytes are shown as they are; how floats were scaled is not known
        low, high = float(frame.min()), float(frame.max())
        frame = (frame - low) / max(high - low, 1e-12) * 255
    pixels = frame.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels if colour else pixels[:, :, 0]).convert("RGB")
