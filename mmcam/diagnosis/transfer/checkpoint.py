"""How far a training has come, in a file: it is killed at any moment and goes on as if it had not been."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.files import is_file, write_whole


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        phase: 0 while the network is frozen, 1 while its last layers learn, 2 when both are over.
        epoch, step: of the phase; the next that is due.
        loss, pictures: summed over the steps of this epoch.
        phase_loss: the lowest validation loss of the phase.
        waited: epochs since then.
        best_loss: the lowest of both phases.
        best: the model at that time.
        history: a line an epoch.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    pictures: int = 0
    phase_loss: float = float("inf")
    waited: int = 0
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(path: Path, progress: Progress, parts: dict[str, Any]) -> None:
    """Write where a training stands, whole or not at all.

    Args:
        path: of the file.
        progress: where it stands.
        parts: state dicts by name: of the model, the optimiser, the scaler.
    """
    plain = {**vars(progress), "history": json.dumps(progress.history)}
    write_whole(path, lambda file: torch.save({**parts, "progress": plain}, file))


def load_checkpoint(path: Path) -> tuple[Progress, dict[str, Any]]:
    """What `save_checkpoint` wrote; the beginning where there is no file.

    Raises:
        ExplainError: the file is none of this kind.
    """
    if not is_file(path):
        return Progress(), {}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        plain = state.pop("progress")
        return Progress(**{**plain, "history": json.loads(plain["history"])}), state
    except Exception as error:  # torch raises many kinds for a broken file
        raise ExplainError(f"{path} cannot be read as a checkpoint; remove it to begin anew.") from error
