"""Files of weights, read without running code from them, and loaded or refused in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.errors import ExplainError


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict in float32 from ``.safetensors`` or a ``torch.save`` file, without running code from it.

    A ``state_dict`` inside a checkpoint is found, and the ``module.`` of DataParallel's names is taken away.

    Raises:
        ExplainError: no such file, or nothing in it can be read that way.
    """
    if not path.is_file():
        raise ExplainError(f"There is no weights file at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExplainError(f"{path} cannot be read as weights ({first}); save it as a plain state dict.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    tensors = {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ExplainError(f"{path} holds no state dict; save it with torch.save(model.state_dict(), path).")
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def fill(model: nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Load a state dict into a model.

    Raises:
        ExplainError: it does not fit; the complaint, and the first thing that is wrong.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        first = (lines[1] if len(lines) > 1 else lines[0]).strip()[:200]
        raise ExplainError(f"{complaint}: {first}") from error
