"""Networks of torchvision: how their pictures are prepared, by torchvision's own records.

A network does not know which weights it was given. What tells its architecture is its module and how many parameters it
has, which torchvision notes with all its weights. Where an architecture has weights that were trained on pictures of
different sizes, those that torchvision downloaded are compared with the network's; else the pictures are made as for
the first that were published, with the recipe that nearly all networks of ImageNet share.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.image import Preprocess, preprocess_of

_presets: weakref.WeakKeyDictionary[nn.Module, tuple[tuple[int, int], Any]] = weakref.WeakKeyDictionary()
"""What was found for a model, and the last of its tensors then: its place and how often it was written to."""


def torchvision_preprocess(model: nn.Module) -> Preprocess | None:
    """How torchvision prepares the pictures of one of its classifiers; None for other models and unknown widths.

    Args:
        model: also with another number of classes.
    """
    preset = preset_of(model)
    return None if preset is None else preprocess_of(preset.transforms())


def preset_of(model: nn.Module) -> Any:
    """The published weights (a member of torchvision's enumeration) whose pictures a network's are made like, or None.

    It is asked for every picture of a list, and remembered until the network is given other weights.

    Args:
        model: a classifier of torchvision, with any number of classes.
    """
    kind = type(model).__module__
    if not kind.startswith("torchvision.models.") or kind.count(".") != 2:
        return None
    last = last_tensor(model)
    if last is None:
        return None
    tensor = last[1]
    state = (tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version)
    if model not in _presets or _presets[model][0] != state:
        _presets[model] = state, _found(model, kind, *last)
    return _presets[model][1]


def _found(model: nn.Module, kind: str, name: str, tensor: Tensor) -> Any:
    """The same, looked up; `name` and `tensor` are the last of the network's state."""
    found = list(_weights_of(sys.modules[kind]))
    if len({type(preset) for preset in found}) > 1:  # architectures
        count = _parameters(model)
        found = [preset for preset in found if preset.meta["num_params"] == count]
    ways = {preprocess_of(preset.transforms()) for preset in found}
    if len(ways) > 1:
        found = [preset for preset in found if _is_of(name, tensor, preset.url.rpartition("/")[2])] or found
    return found[0] if found else None


def _weights_of(module: Any) -> Iterator[Any]:
    """The published weights of a module's classifiers, in the order of publication, without those of features alone."""
    from torchvision.models import WeightsEnum

    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, WeightsEnum) and kind.__module__ == module.__name__:
            presets: Any = kind
            yield from (preset for preset in presets if preset.meta.get("categories"))


def _parameters(model: nn.Module) -> int:
    """How many parameters a network would have with ImageNet's thousand classes."""
    count = sum(parameter.numel() for parameter in model.parameters())
    layers = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not layers:
        return count
    head = layers[-1]
    classes = head.weight.shape[0]
    own = sum(parameter.numel() for parameter in head.parameters())
    return count - own + own // classes * 1000


def last_tensor(module: nn.Module, prefix: str = "") -> tuple[str, Tensor] | None:
    """The last tensor of a module's state with its name, as in its state dict, which need not be made for it."""
    for name, child in reversed(list(module.named_children())):
        if (last := last_tensor(child, f"{prefix}{name}.")) is not None:
            return last
    own = [*module.named_buffers(recurse=False)][::-1] + [*module.named_parameters(recurse=False)][::-1]
    kept = [(name, tensor) for name, tensor in own if name not in module._non_persistent_buffers_set]
    return (prefix + kept[0][0], kept[0][1]) if kept else None


def _is_of(name: str, tensor: Tensor, file: str) -> bool:
    """Whether a network's last tensor is that of a file which torchvision downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        return False
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError):  # cut short, or written by an old torch, which cannot be mapped
        return False
    return name in theirs and torch.equal(theirs[name], tensor.detach().cpu().to(theirs[name].dtype))
