"""One phase of a training: epochs of steps, until the validation loss has stopped to fall.

Everything random in a step, which pictures, how they are varied, and dropout, follows from the numbers of seed, phase,
epoch and step. So a checkpoint holds no random state, and a training that was killed ends at the same weights, bit by
bit on the same machine, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.diagnosis.transfer.augmented import stream
from mmcam.diagnosis.transfer.checkpoint import Progress
from mmcam.diagnosis.transfer.settings import Settings
from mmcam.progress import with_progress

DECAY: Final = 0.01
ORDER, LOOKS = 1, 2
"""Of a stream's numbers: what is drawn."""


@dataclass(frozen=True)
class Phase:
    """What is trained, on what.

    Attributes:
        number, name: of the phase.
        epochs: at most.
        rate: of AdamW.
        trained: the parameters that learn.
        logits: of training pictures, by their places among them and a source of randomness.
        val_logits: of the validation pictures (N, classes), the model being in eval mode.
    """

    number: int
    name: str
    epochs: int
    rate: float
    trained: list[nn.Parameter]
    logits: Callable[[NDArray[np.int64], np.random.Generator], Tensor]
    val_logits: Callable[[], Tensor]


@dataclass(frozen=True)
class Truth:
    """The classes of the training and validation pictures, and how much each class counts (classes,)."""

    train: Tensor
    val: Tensor
    weights: Tensor


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """N / (classes · n_c): as if all classes were equally frequent."""
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).float())


class Fit:
    """A model that is being trained.

    Attributes:
        model: it, with a ``train`` mode and an ``eval`` mode.
        truth: what is learnt.
        settings: the numbers.
        progress: where it stands.
    """

    def __init__(self, model: nn.Module, truth: Truth, settings: Settings, progress: Progress) -> None:
        self.model, self.truth, self.settings, self.progress = model, truth, settings, progress
        self.optimiser: Any = None
        self.device = next(model.parameters()).device
        self.mixed = self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mixed)
        self._saved = time.monotonic()

    def run(self, phase: Phase, save: Callable[[], None], say: Callable[[str], None]) -> None:
        """Train until the phase is over; `save` is called after a step when a checkpoint is due."""
        at = self.progress
        while at.epoch < phase.epochs and at.waited < self.settings.patience:
            orders = self._orders(phase, at.epoch)
            what = f"{phase.name}, epoch {at.epoch + 1} of at most {phase.epochs}"
            self.model.train()
            for step in with_progress(range(at.step, len(orders)), what):
                self._step(phase, step, orders[step])
                at.step = step + 1
                self._save_if_due(save)
            self._judge(phase, say)
            self._save_if_due(save)

    def optimise(self, phase: Phase, states: dict[str, Any]) -> None:
        """Make the optimiser of a phase; from a checkpoint's states if there are any."""
        self.optimiser = torch.optim.AdamW(phase.trained, lr=phase.rate, weight_decay=DECAY)
        if "optimiser" in states:
            self.optimiser.load_state_dict(states["optimiser"])
            if self.mixed:
                self.scaler.load_state_dict(states["scaler"])

    def states(self) -> dict[str, Any]:
        """What a checkpoint has to hold besides the progress."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def _orders(self, phase: Phase, epoch: int) -> list[NDArray[np.int64]]:
        """Which pictures each step of an epoch sees: all once, in batches of nearly one size, none of a lone picture,
        which batch norm could not take.
        """
        n = len(self.truth.train)
        order = stream(self.settings.seed, ORDER, phase.number, epoch).permutation(n)
        return list(np.array_split(order, max(1, round(n / self.settings.batch))))

    def _step(self, phase: Phase, step: int, rows: NDArray[np.int64]) -> None:
        at = self.progress
        numbers = (self.settings.seed, LOOKS, phase.number, at.epoch, step)
        rng = stream(*numbers)
        with _seeded(int(rng.integers(2**62)), self.device), torch.autocast(self.device.type, enabled=self.mixed):
            logits = phase.logits(rows, rng)
            truth = self.truth.train[rows].to(self.device)
            loss = F.cross_entropy(logits.float(), truth, self.truth.weights.to(self.device))
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        at.loss += float(loss.detach()) * len(rows)
        at.pictures += len(rows)

    def _judge(self, phase: Phase, say: Callable[[str], None]) -> None:
        """The end of an epoch: is the model better than it ever was?"""
        at = self.progress
        self.model.eval()
        with torch.no_grad():
            logits = phase.val_logits().float().cpu()
        loss = float(F.cross_entropy(logits, self.truth.val, self.truth.weights))
        right = balanced(logits.argmax(1), self.truth.val, len(self.truth.weights))
        # A phase that begins worse than the last one ended is given its time all the same.
        lower = loss < at.phase_loss
        at.phase_loss, at.waited = (loss, 0) if lower else (at.phase_loss, at.waited + 1)
        if loss < at.best_loss:
            at.best_loss = loss
            at.best = {key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()}
        line = {
            "phase": phase.name,
            "epoch": at.epoch + 1,
            "loss": round(at.loss / max(1, at.pictures), 5),
            "val_loss": round(loss, 5),
            "val_balanced_accuracy": round(right, 4),
        }
        at.history.append(line)
        say(
            f"{phase.name}, epoch {line['epoch']}: loss {line['loss']:.3f}, on the validation pictures {loss:.3f}, "
            f"balanced accuracy {100 * right:.1f} %" + ("" if lower else f" (not lower {at.waited} times)")
        )
        at.epoch, at.step, at.loss, at.pictures = at.epoch + 1, 0, 0.0, 0

    def _save_if_due(self, save: Callable[[], None]) -> None:
        if time.monotonic() - self._saved >= self.settings.save_every:
            save()
            self._saved = time.monotonic()


def balanced(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """The mean over classes of the share that is told right; classes without a picture are left out."""
    shares = [float((predicted[truth == c] == c).float().mean()) for c in range(classes) if bool((truth == c).any())]
    return sum(shares) / len(shares)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's generators from a seed, and as they were afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
