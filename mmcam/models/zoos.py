"""Networks of torchvision and timm, with published weights or a person's own."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmcam.adapters.torchvision import torchvision_preprocess
from mmcam.errors import ExplainError
from mmcam.image import Preprocess, preprocess_of
from mmcam.models.dense import dense_from_torchvision, is_dense, no_download
from mmcam.models.state import fill, read_state

_AUXILIARY = ("googlenet", "inception_v3")
"""They have heads that only help training, published weights that take inputs of −1 to 1, and initial weights that take
long to draw."""

_PUBLISHED: dict[str, Any] = {"aux_logits": False, "init_weights": False, "transform_input": True}
"""How those are made for published weights."""


def from_torchvision(name: str, weights: Path | None) -> tuple[nn.Module, Preprocess | None]:
    """A network of torchvision, and how its pictures are made if a file's name or torchvision's records tell.

    Args:
        name: as torchvision has it.
        weights: a state dict; default the published one, which is downloaded unless it was before.

    Raises:
        ExplainError: no such network, weights that do not fit it, or no download.
    """
    zoo = _torchvision()
    if is_dense(zoo, name):
        return dense_from_torchvision(name, weights)
    _check_known(name, zoo.list_models(module=zoo), "torchvision")
    presets = zoo.get_model_weights(name)
    preset = presets["DEFAULT"]
    if weights is not None:
        options: dict[str, Any] = {}
        state = read_state(weights)
        if name in _AUXILIARY:
            options = _PUBLISHED
            for key in [key for key in state if key.lower().startswith("aux")]:
                del state[key]
        make = partial(zoo.get_model, name, weights=None, **options)
        complaint = f"The weights in {weights} do not fit torchvision's {name}"
        model = make(num_classes=_classes(state, _head(make), complaint))
        fill(model, state, complaint)
        trained = next((each for each in presets if each.url.endswith(f"/{weights.name}")), None)
        return model, torchvision_preprocess(model) if trained is None else preprocess_of(trained.transforms())
    try:
        return zoo.get_model(name, weights=preset), preprocess_of(preset.transforms())
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a bad hash is a RuntimeError
        raise no_download(name, preset, error) from error


def from_timm(name: str, weights: Path | None) -> nn.Module:
    """A classifier of timm.

    Args:
        name: as timm has it, perhaps with the tag of its weights.
        weights: a state dict; there is no default.

    Raises:
        ExplainError: no such network, no weights, or weights that do not fit it.
    """
    timm = timm_zoo(name)
    if weights is None:
        raise ExplainError(
            f"timm:{name} needs --weights FILE, since none are downloaded; on a machine with a network, "
            f"torch.save(timm.create_model({name!r}, pretrained=True).state_dict(), FILE) writes them."
        )
    state = read_state(weights)
    complaint = f"The weights in {weights} do not fit timm's {name}"
    heads = _listed(timm.models.get_pretrained_cfg_value(name, "classifier") or ())
    axes = {f"{head}.weight": 0 for head in heads if f"{head}.weight" in state}
    options = {"num_classes": _classes(state, axes, complaint)} if axes else {}
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    fill(model, state, complaint)
    return model


def likely(name: str) -> str:
    """What the specification of a network may be that was named without its library; "" if neither has one."""
    for library, zoo in (("torchvision", _torchvision_zoo), ("timm", timm_zoo)):
        try:
            zoo(name)
        except ExplainError:
            continue
        return f"{library}:{name}"
    return ""


def without_weights(library: str, name: str) -> nn.Module:
    """A network of "torchvision" or "timm" as it is made of a file of weights, before it is filled with them.

    Raises:
        ExplainError: no such network or library.
    """
    if library not in ("torchvision", "timm"):
        raise ExplainError(f"There is no network {library}:{name}; name torchvision:NAME or timm:NAME.")
    if library == "timm":
        model: nn.Module = timm_zoo(name).create_model(name, pretrained=False)
    else:
        options = _PUBLISHED if name in _AUXILIARY else {}
        model = _torchvision_zoo(name).get_model(name, weights=None, **options)
    return model


def untrained(library: str, name: str) -> nn.Module:
    """A network of "torchvision" or "timm" with random weights, in eval mode.

    Raises:
        ExplainError: no such network.
    """
    if library == "timm":
        model: nn.Module = timm_zoo(name).create_model(name, pretrained=False)
    else:
        options = {"init_weights": False} if name in _AUXILIARY else {}
        model = _torchvision_zoo(name).get_model(name, weights=None, **options)
    return model.eval()


class _WithoutValues(TorchFunctionMode):
    """Weights have shapes and no values: `torch.empty`, which layers make them with, is on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return func(*args, **{**(kwargs or {}), **({"device": "meta"} if func is torch.empty else {})})


def _head(make: Callable[..., nn.Module]) -> dict[str, int]:
    """The tensors that have a row for each class, and along which axis: what differs between two counts of classes."""
    with _WithoutValues():
        two, three = (make(num_classes=count).state_dict() for count in (2, 3))
    axes = {key: [a != b for a, b in zip(two[key].shape, three[key].shape, strict=True)] for key in two}
    return {key: differs.index(True) for key, differs in axes.items() if any(differs)}


def _classes(state: Mapping[str, Tensor], head: Mapping[str, int], complaint: str) -> int:
    """How many classes a state dict has, by the tensors of the head.

    Raises:
        ExplainError: it lacks them, or they do not agree.
    """
    missing = next((key for key, axis in head.items() if key not in state or state[key].ndim <= axis), None)
    if missing is not None:
        raise ExplainError(f"{complaint}: they have no {missing}, whose rows are the classes.")
    counts = {key: state[key].shape[axis] for key, axis in head.items()}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        told = ", ".join(f"{count} in {key}" for key, count in counts.items())
        raise ExplainError(f"{complaint}: their classes are {told}; all have to be the same number, and at least 1.")
    return next(iter(counts.values()))


def _torchvision_zoo(name: str) -> Any:
    """torchvision's networks, among them one of this name.

    Raises:
        ExplainError: it is not there, or broken, as one built for another torch is; there is no such network.
    """
    zoo = _torchvision()
    _check_known(name, zoo.list_models(module=zoo), "torchvision")
    return zoo


def _torchvision() -> Any:
    """torchvision's networks; an `ExplainError` where it is not there or broken, as one built for another torch is."""
    try:
        return importlib.import_module("torchvision.models")
    except Exception as error:  # whatever a broken one raises
        raise ExplainError(
            f"torchvision cannot be imported ({error}); install the one that belongs to torch {torch.__version__}: "
            "pip install torch torchvision, both in one command."
        ) from error


def timm_zoo(name: str) -> Any:
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
