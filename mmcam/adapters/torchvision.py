"""Networks of torchvision: how their pictures are prepared, by torchvision's own records.

A network does not know which weights it was given. What tells its architecture is its module and how many parameters it
has, which torchvision notes with all its weights. Where an architecture has weights that were trained on pictures of
different sizes, those that torchvision downloaded are compared with the network's; else the pictures are made as for
the first that were published, with the recipe that nearly all networks of ImageNet share.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.image import Preprocess, preprocess_of


def torchvision_preprocess(model: nn.Module) -> Preprocess | None:
    """How torchvision prepares the pictures of one of its classifiers; None for other models and unknown widths.

    Args:
        model: also with another number of classes.
    """
    preset = preset_of(model)
    return None if preset is None else preprocess_of(preset.transforms())


def preset_of(model: nn.Module) -> Any:
    """The published weights (a member of torchvision's enumeration) whose pictures a network's are made like, or None.

    Args:
        model: a classifier of torchvision, with any number of classes.
    """
    kind = type(model).__module__
    if not kind.startswith("torchvision.models.") or kind.count(".") != 2:
        return None
    found = list(_weights_of(sys.modules[kind]))
    if len({type(preset) for preset in found}) > 1:  # architectures
        count = _parameters(model)
        found = [preset for preset in found if preset.meta["num_params"] == count]
    ways = {preprocess_of(preset.transforms()) for preset in found}
    if len(ways) > 1:
        state = model.state_dict()
        found = [preset for preset in found if _holds(state, preset.url.rpartition("/")[2])] or found
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


def _holds(state: Mapping[str, Tensor], file: str) -> bool:
    """Whether a network has the weights of a file that torchvision downloaded, by the last tensor of both."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        return False
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError):  # cut short, or written by an old torch, which cannot be mapped
        return False
    name = list(state)[-1]
    return name in theirs and torch.equal(theirs[name], state[name].detach().cpu().to(theirs[name].dtype))
