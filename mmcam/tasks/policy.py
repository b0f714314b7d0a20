"""Policies: what a reinforcement-learning policy makes of an observation, and its choices as targets.

An observation is no photograph. It may be a stack of grey frames, and what is done to it is the policy's own business:
so an array or tensor of bytes goes to the policy as it is, its values unchanged, as the environment hands it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.distributions import Distribution

from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Batch, Geometry, Preprocess, prepare, preprocess_of
from mmcam.tasks.classification import both_are, index_target, nearest

SCORES = {
    "action": "the logit of an action",
    "value": "the value of the state",
    "q": "the Q-value of an action",
}
"""What can be explained of a policy."""

_FIELDS = {
    "logits": ("logits", "distribution", "dist", "pi"),
    "value": ("value", "values", "state_value"),
    "q": ("q", "q_values", "action_value"),
}


@runtime_checkable
class Policy(Protocol):
    """What a policy is: an ``nn.Module`` from observations (N,C,H,W) to what it thinks of the actions.

    It gives the actions' logits or Q-values (N,A); a tuple (logits, value); a mapping, or an object with attributes,
    that holds "logits", "value" (N,) or (N,1), "q" (N,A); or a ``torch.distributions.Categorical``, alone or in place
    of the logits. (A Categorical normalises its logits: they are log-probabilities then.)

    Optional: ``actions``, the names of the actions in order; ``preprocess``, a `mmcam.Preprocess` for pictures or a
    function from one observation to the float tensor (C,H,W) that the policy takes.
    """

    def __call__(self, x: Tensor) -> Any:
        """Observations (N,C,H,W) → logits, value, Q-values."""


def thoughts(output: Any) -> dict[str, Tensor]:
    """What a policy's output says, by name: "logits" (N,A), "q" (N,A), "value" (N,), those of them it holds.

    A tensor alone may be meant as logits or as Q-values, so it stands under both names.

    Raises:
        ExplainError: none of them is there, or one is of another shape.
    """
    found: dict[str, Any] = {}
    if isinstance(output, Tensor):
        found = {"logits": output, "q": output}
    elif isinstance(output, Distribution):
        found = {"logits": output}
    else:
        mapping = isinstance(output, Mapping) or (hasattr(output, "keys") and hasattr(output, "__getitem__"))
        keys = set(output.keys()) if mapping else set()
        for name, fields in _FIELDS.items():
            for field in fields:
                part = output[field] if field in keys else None if mapping else getattr(output, field, None)
                if isinstance(part, (Tensor, Distribution)):
                    found.setdefault(name, part)
        if not found and isinstance(output, (tuple, list)):
            found = dict(zip(("logits", "value"), output, strict=False))
    if not found:
        raise ExplainError(
            f"A policy gives logits (N,A), a tuple (logits, value), a mapping with “logits”, “value” or “q”, or a "
            f"Categorical; this one gives {type(output).__name__}. Pass a function output → (N,) as action."
        )
    return {name: _checked(name, part) for name, part in found.items() if name != "value" or isinstance(part, Tensor)}


def _checked(name: str, part: Any) -> Tensor:
    """One thought as a tensor of its shape."""
    part = getattr(part, "logits", part) if isinstance(part, Distribution) else part
    if not isinstance(part, Tensor) or not part.is_floating_point():
        form = f"a tensor of {part.dtype}" if isinstance(part, Tensor) else type(part).__name__
        raise ExplainError(
            f"The {name} of a policy are a float tensor; these are {form}, perhaps actions already drawn: wrap the "
            "policy in a module that gives the logits they are drawn from."
        )
    if name == "value":
        if part.ndim == 2 and part.shape[1] == 1:
            part = part[:, 0]
        if part.ndim != 1:
            raise ExplainError(f"The value of a policy has shape (N,) or (N,1); this one is {tuple(part.shape)}.")
    elif part.ndim != 2 or part.shape[1] < 2:
        raise ExplainError(
            f"The {name} of a policy have shape (N,A) with an entry for each of two or more actions; these are "
            f"{tuple(part.shape)}."
        )
    return part


def value_target() -> Target:
    """The value of the state, (N,), from `thoughts`."""

    def score(output: Mapping[str, Tensor]) -> Tensor:
        return _of(output, "value")

    return score


def action_target(
    actions: Sequence[int | None], score: str, contrast: int | None, greedy: list[Tensor], known: Sequence[str] | None
) -> Target:
    """The logit or Q-value of one action for each of N observations, or its lead over another action's.

    Args:
        actions: by index; None for the greedy one, which the first output decides.
        score: "action" or "q".
        contrast: the other action.
        greedy: the greedy actions (N,) are put here.
        known: names of the actions, for messages.
    """

    def rated(output: Mapping[str, Tensor]) -> Tensor:
        # A network that gives Q-values only chooses by them.
        return _of(output, "q" if score == "q" or "logits" not in output else "logits")

    def target(output: Mapping[str, Tensor]) -> Tensor:
        scores = rated(output)
        count = scores.shape[1]
        for index in (*actions, contrast):
            if index is not None and not -count <= index < count:
                raise ExplainError(f"There is no action {index}: the policy has actions 0…{count - 1}.")
        if not greedy:
            greedy.append(scores.detach().argmax(1))
        chosen = [int(best) if index is None else index for index, best in zip(actions, greedy[0], strict=True)]
        wanted = index_target(torch.tensor(chosen))(scores)
        if contrast is None:
            return wanted
        if any(index % count == contrast % count for index in chosen):
            raise both_are("action", action_name(contrast % count, known))
        return wanted - index_target(contrast)(scores)

    return target


def _of(output: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in output:
        raise ExplainError(f"The policy gives no {name}, only {' and '.join(output)}; ask with another score=.")
    return output[name]


def action_index(action: Any, names: Sequence[str] | None) -> int:
    """An action by name or index.

    Raises:
        ExplainError: unknown (with the closest names), or of another type.
    """
    if isinstance(action, str):
        if names is None:
            raise ExplainError(f"The actions of this policy have no names, so {action!r} cannot be found; pass names=.")
        return nearest(action, names, "action")
    try:
        return int(action.__index__())
    except (AttributeError, TypeError) as error:
        raise ExplainError(f"An action is an index, a name or a function; {type(action).__name__} is none.") from error


def action_name(index: int, names: Sequence[str] | None) -> str:
    """What an action is called."""
    return names[index] if names is not None and -len(names) <= index < len(names) else f"action {index}"


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
    if not isinstance(observations, (Tensor, np.ndarray, list, tuple)) and hasattr(observations, "__array__"):
        if isinstance(observations, Image.Image):
            raise PictureError(_PICTURE.format(type(observations).__name__))
        observations = np.asarray(observations)  # gymnasium's LazyFrames
    stacked = isinstance(observations, (Tensor, np.ndarray)) and observations.ndim == 4
    single = not stacked and not isinstance(observations, (list, tuple))
    each = [observations] if single else list(observations)
    if not each:
        raise PictureError("There is no observation in the list; pass at least one.")
    channels = next((m.in_channels for m in policy.modules() if isinstance(m, nn.Conv2d)), None)
    tensors = [_tensor(observation, preprocess, channels) for observation in each]
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        raise PictureError(f"Observations of one batch need one shape; these are {sorted(shapes)}.")
    size = (tensors[0].shape[1], tensors[0].shape[2])
    x = torch.stack([x.detach().to(parameter.device, parameter.dtype) for x in tensors])
    return Batch(x, [_newest(x) for x in tensors], [Geometry(size, size)] * len(tensors), single)


_PICTURE = (
    "How the policy sees a {} is not known; pass the observation as an array or tensor, or say with preprocess= how it "
    "is made."
)


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
    if not torch.isfinite(x).all():
        raise PictureError("The observation holds NaN or infinite values; pass finite ones.")
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
