"""Classifiers of torchvision and timm, with published weights or a person's own."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess, preprocess_of
from mmcam.models.state import fill, read_state

_AUXILIARY = ("googlenet", "inception_v3")
"""They have heads that only help training, published weights that take inputs of −1 to 1, and initial weights that take
long to draw."""


def from_torchvision(name: str, weights: Path | None) -> tuple[nn.Module, Preprocess]:
    """A classifier of torchvision, and how its pictures are made.

    Args:
        name: as torchvision has it.
        weights: a state dict; default the published one, which is downloaded unless it was before.

    Raises:
        ExplainError: no such network, weights that do not fit it, or no download.
    """
    zoo = _torchvision_zoo(name)
    presets = zoo.get_model_weights(name)
    preset = presets["DEFAULT"]
    if weights is not None:
        state = read_state(weights)
        last = list(state.values())[-1]
        options: dict[str, Any] = {"num_classes": len(last) if last.ndim else 1}
        if name in _AUXILIARY:
            options |= {"aux_logits": False, "init_weights": False, "transform_input": True}
            state = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
        model = zoo.get_model(name, weights=None, **options)
        fill(model, state, f"The weights in {weights} do not fit torchvision's {name}")
        trained = next((each for each in presets if each.url.endswith(f"/{weights.name}")), preset)
        return model, preprocess_of(trained.transforms())
    try:
        return zoo.get_model(name, weights=preset), preprocess_of(preset.transforms())
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a bad hash is a RuntimeError
        raise ExplainError(
            f"The weights of torchvision:{name} could not be downloaded ({error}); on a machine with a network save "
            f"{preset.url.rsplit('/', 1)[-1]}, copy it here and pass it with --weights."
        ) from error


def from_timm(name: str, weights: Path | None) -> nn.Module:
    """A classifier of timm.

    Args:
        name: as timm has it, perhaps with the tag of its weights.
        weights: a state dict; there is no default.

    Raises:
        ExplainError: no such network, no weights, or weights that do not fit it.
    """
    timm = _timm_zoo(name)
    if weights is None:
        raise ExplainError(
            f"timm:{name} needs --weights FILE, since none are downloaded; on a machine with a network, "
            f"torch.save(timm.create_model({name!r}, pretrained=True).state_dict(), FILE) writes them."
        )
    state = read_state(weights)
    heads = timm.models.get_pretrained_cfg_value(name, "classifier") or ()
    # The head's own width, and not the last tensor's, which may be a counter of a normalisation.
    width = next((len(state[f"{head}.weight"]) for head in _listed(heads) if f"{head}.weight" in state), None)
    options = {} if width is None else {"num_classes": width}
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    fill(model, state, f"The weights in {weights} do not fit timm's {name}")
    return model


def untrained(library: str, name: str) -> nn.Module:
    """A network of "torchvision" or "timm" with random weights, in eval mode.

    Raises:
        ExplainError: no such network.
    """
    if library == "timm":
        model: nn.Module = _timm_zoo(name).create_model(name, pretrained=False)
    else:
        options = {"init_weights": False} if name in _AUXILIARY else {}
        model = _torchvision_zoo(name).get_model(name, weights=None, **options)
    return model.eval()


def _torchvision_zoo(name: str) -> Any:
    """torchvision's networks, among them one of this name.

    Raises:
        ExplainError: it is not there, or broken, as one built for another torch is; there is no such network.
    """
    try:
        zoo = importlib.import_module("torchvision.models")
    except Exception as error:  # whatever a broken one raises
        raise ExplainError(
            f"torchvision cannot be imported ({error}); install the one that belongs to torch {torch.__version__}: "
            "pip install torch torchvision, both in one command."
        ) from error

    _check_known(name, zoo.list_models(module=zoo), "torchvision")
    return zoo


def _timm_zoo(name: str) -> Any:
    """timm, with a network of this name, perhaps with the tag of its weights.

    Raises:
        ExplainError: it is not there, or broken; there is no such network.
    """
    try:
        timm = importlib.import_module("timm")
    except Exception as error:  # whatever a broken one raises
        raise ExplainError(f"timm cannot be imported ({error}); install it: pip install timm.") from error
    _check_known(name.partition(".")[0], timm.list_models(), "timm")
    return timm


def _check_known(name: str, known: list[str], library: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4) or known[:6]
        raise ExplainError(f"{library} has no classifier {name!r}; the closest are {', '.join(near)}.")


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names
