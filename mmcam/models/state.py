"""Files of weights, read without running code from them, and loaded or refused in a sentence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.errors import ExplainError
from mmcam.files import is_file

_INSIDE = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema", "model_ema", "ema")
"""Where checkpoints keep their weights; the trained ones before their moving average, if a file has both."""

_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and its kin, and torch.compile, put before every name."""


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict in float32 from ``.safetensors`` or a ``torch.save`` file, without running code from it.

    A state dict inside a checkpoint is found ("state_dict", "model", …, or else the moving average "model_ema"), and
    what DataParallel, torch.compile and AveragedModel add to the names is taken away.

    Raises:
        ExplainError: no such file, nothing in it can be read that way, or numbers that no network here computes with:
            complex, sparse or quantised ones, or none at all.
    """
    if not is_file(path):
        raise ExplainError(f"There is no weights file at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExplainError(f"{path} cannot be read as weights ({first}); save it as a plain state dict.") from error
    found = _found(content)
    if not any(isinstance(value, Tensor) for value in found.values()):
        raise ExplainError(f"{path} holds no state dict; save it with torch.save(model.state_dict(), path).")
    state: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in found.items():
        if not isinstance(value, Tensor) or key == "n_averaged":  # AveragedModel's own counter
            continue
        if not isinstance(key, str):
            raise ExplainError(f"{path} calls a tensor {key!r}; save a state dict, whose names are texts.")
        name = _unwrapped(key)
        if name in state:
            raise ExplainError(f"{path} holds {name} twice, once as {key}; save the state dict of one model.")
        state[name] = _numbers(value, key, path)
    versions = getattr(found, "_metadata", None)
    if isinstance(versions, Mapping):
        _versions(state, {_unwrapped(f"{key}.").removesuffix("."): value for key, value in versions.items()})
    return state


def fill(model: nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Load a state dict into a model.

    Raises:
        ExplainError: it does not fit; the complaint, and the first thing that is wrong.
    """
    own = model.state_dict()
    for key, value in state.items():
        if key in own and own[key].is_floating_point() and not value.is_floating_point():
            raise ExplainError(f"{complaint}: {key} holds {value.dtype}, and the network has {own[key].dtype} there.")
    whole = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    if versions is None:
        # A plain mapping, as a .safetensors gives one, does not say by which version of a layer it was written: by the
        # present one, unless a batch norm lacks the counter that old ones had not.
        lacking = [key for key in own if key.endswith("num_batches_tracked") and key not in state]
        old = {key.rpartition(".")[0] for key in lacking}
        versions = {key: value for key, value in own._metadata.items() if key not in old}  # type: ignore[attr-defined]
    _versions(whole, versions)
    try:
        model.load_state_dict(whole)
    except (RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        first = (lines[1] if len(lines) > 1 else lines[0]).strip()[:200]
        raise ExplainError(f"{complaint}: {first}") from error


def _found(content: Any) -> Mapping[Any, Any]:
    """The state dict in what a file holds; empty if there is none."""
    if not isinstance(content, dict):
        return {}
    inside = next((content[key] for key in _INSIDE if isinstance(content.get(key), dict)), None)
    return content if inside is None else inside


def _unwrapped(name: str) -> str:
    """A name without what wrappers put before it."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def _numbers(value: Tensor, key: str, path: Path) -> Tensor:
    """A tensor as it is computed with: floats in float32.

    Raises:
        ExplainError: it is no plain tensor of real numbers, or has more of them than the file holds.
    """
    kind = (
        "complex" if value.is_complex()
        else "sparse" if value.layout != torch.strided
        else "quantised" if value.is_quantized
        else "without values (on the meta device)" if value.is_meta
        else ""
    )  # fmt: skip
    if kind:
        raise ExplainError(f"The tensor {key} in {path} is {kind}; save weights as plain real numbers.")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ExplainError(f"The tensor {key} in {path} has more numbers than are stored; save it with .contiguous().")
    return value.detach().float() if value.is_floating_point() else value.detach()


def _versions(state: Mapping[str, Tensor], versions: Mapping[str, Any]) -> None:
    """Note by which version of each layer a state dict was written, where `load_state_dict` looks for it."""
    state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]
