"""The two phases: the head on a frozen network, then the network's last layers with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcam.diagnosis.transfer.augmented import varied
from mmcam.diagnosis.transfer.checkpoint import load_checkpoint, save_checkpoint
from mmcam.diagnosis.transfer.features import features_of, scaled
from mmcam.diagnosis.transfer.fitting import Fit, Phase, Truth, class_weights
from mmcam.diagnosis.transfer.inputs import CHUNK, Inputs
from mmcam.diagnosis.transfer.settings import Settings
from mmcam.diagnosis.transfer.splits import Split
from mmcam.models.finetuned import Finetuned


def train(
    model: Finetuned,
    inputs: Inputs,
    labels: Tensor,
    split: Split,
    settings: Settings,
    work: Path,
    key: str,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train a model in place; goes on where it was stopped.

    Args:
        model: with its published backbone, on the device that computes.
        inputs: of all pictures.
        labels: of all pictures (N,).
        split: which are to learn from, and which to choose the best epoch by.
        settings: the numbers.
        work: a folder for what is kept.
        key: what all of it depends on.
        say: is told, in a line each, how it goes.

    Returns:
        The history, a line an epoch.
    """
    progress, states = load_checkpoint(work / "checkpoint.pt")
    if states:
        model.load_state_dict(states["model"])
    weights = class_weights(labels[split.train], len(model.classes))
    truth = Truth(labels[split.train], labels[split.val], weights)
    fit = Fit(model, truth, settings, progress)

    def save() -> None:
        save_checkpoint(work / "checkpoint.pt", progress, fit.states())

    if progress.phase < 2 and (progress.phase or progress.epoch or progress.step):
        left = settings.head_epochs if progress.phase == 0 else settings.tune_epochs
        say(f"Going on in phase {progress.phase + 1} of 2, at epoch {progress.epoch + 1} of at most {left}.")
    while progress.phase < 2:
        make = _frozen if progress.phase == 0 else _tuned
        phase = make(model, inputs, split, settings, work, key)
        fit.optimise(phase, states)
        fit.run(phase, save, say)
        if progress.best:
            model.load_state_dict(progress.best)
        progress.phase, progress.epoch, progress.step, states = progress.phase + 1, 0, 0, {}
        progress.phase_loss, progress.waited = float("inf"), 0
        # The next phase begins with an optimiser of its own, so none is kept.
        save_checkpoint(work / "checkpoint.pt", progress, {"model": model.state_dict()})
    model.eval().requires_grad_(False)
    return progress.history


def _frozen(model: Finetuned, inputs: Inputs, split: Split, settings: Settings, work: Path, key: str) -> Phase:
    """The head learns on kept features."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    device = next(model.parameters()).device
    views = max(1, settings.views)
    made = features_of(model.backbone, inputs, split.train, views, settings.seed, work / "train.npy", key)
    held = features_of(model.backbone, inputs, split.val, 1, settings.seed, work / "val.npy", key)[:, 0]

    def logits(rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        seen: Tensor = model.head(made[rows, rng.integers(views, size=len(rows))].to(device))
        return seen

    def val_logits() -> Tensor:
        seen: Tensor = model.head(held.to(device))
        return seen

    trained = list(model.head.parameters())
    return Phase(0, "head alone", settings.head_epochs, settings.head_rate, trained, logits, val_logits)


def _tuned(model: Finetuned, inputs: Inputs, split: Split, settings: Settings, work: Path, key: str) -> Phase:
    """The backbone's last layers learn, too."""
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    for parameter in last_layers(model.backbone, settings.unfrozen):
        parameter.requires_grad_(True)
    device = next(model.parameters()).device

    def logits(rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        pixels = varied(inputs.bytes_of(split.train[rows]).to(device), rng)
        seen: Tensor = model(scaled(pixels, inputs.preprocess))
        return seen

    def val_logits() -> Tensor:
        return logits_of(model, inputs, split.val)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Phase(1, "last layers too", settings.tune_epochs, settings.tune_rate, trained, logits, val_logits)


def last_layers(backbone: nn.Module, share: float) -> list[nn.Parameter]:
    """The parameters of the last layers, as a share of all layers that have some, in the order in which they are made.

    torchvision and timm make the layers of their networks in the order in which pictures pass them.
    """
    layers = [module for module in backbone.modules() if next(module.parameters(recurse=False), None) is not None]
    first = len(layers) - round(share * len(layers))
    return [parameter for layer in layers[first:] for parameter in layer.parameters(recurse=False)]


@torch.no_grad()
def logits_of(model: Finetuned, inputs: Inputs, rows: NDArray[np.int64]) -> Tensor:
    """Logits (N, classes) of pictures, on the CPU; the model is in eval mode."""
    device = next(model.parameters()).device
    parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    return torch.cat([model(inputs.of(part).to(device)).float().cpu() for part in parts])
