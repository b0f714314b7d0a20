"""How a training goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The numbers of a training.

    Attributes:
        seed: of the split, the order of the pictures, how they are varied, and the head's first weights.
        batch: pictures a step.
        head_epochs: of the first phase at most, in which the network is frozen.
        tune_epochs: of the second at most, in which its last layers learn, too; 0 leaves it out.
        patience: epochs without a lower loss on the validation pictures after which a phase ends.
        head_rate, tune_rate: of AdamW.
        unfrozen: the share of the network's layers that learn in the second phase, the last ones.
        views: of each training picture, whose features the first phase draws from; the first is the picture as it is.
        save_every: seconds after which a checkpoint is due.
    """

    seed: int = 0
    batch: int = 32
    head_epochs: int = 60
    tune_epochs: int = 15
    patience: int = 5
    head_rate: float = 1e-3
    tune_rate: float = 2e-4
    unfrozen: float = 0.5
    views: int = 4
    save_every: float = 30.0
