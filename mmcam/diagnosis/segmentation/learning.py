"""Steps of stochastic gradient descent that follow from (seed, step) alone, and go on where a run was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.diagnosis.segmentation.crf import mean_field, pairs
from mmcam.diagnosis.segmentation.losses import boundary, expansion, probabilities, seeding
from mmcam.diagnosis.segmentation.network import Segmenter
from mmcam.errors import ExplainError
from mmcam.files import is_file, write_whole
from mmcam.progress import with_progress

SAVE_EVERY: Final = 50
"""Steps between checkpoints."""


@dataclass(frozen=True)
class Schedule:
    """How the network learns; what is published of SEC (arXiv 1603.06098, section 4.1) by default.

    Attributes:
        steps: in all.
        batch: pictures a step.
        size: pixels of the input's sides.
        rate: of the encoder; the new layers learn at ten times the rate.
        fall: what the rate is multiplied with after each quarter of the steps. In some hundred steps a tenth would end
            learning with the first quarter.
        width: channels of the head.
        momentum, decay: of the descent; the decay of the weights.
        adaptive: descend by Adam, each weight at its own pace, not by plain gradients. Where there is time for some
            hundred steps only, new layers learn nothing else than what is frequent by plain ones.
        alone: steps before the boundary term counts. Of a network that knows nothing yet the field makes background
            everywhere, and it takes many steps to leave that again.
        seed: of the new weights, the pictures of a step, and dropout.
    """

    steps: int = 8000
    batch: int = 15
    size: int = 321
    rate: float = 1e-3
    fall: float = 0.1
    width: int = 1024
    momentum: float = 0.9
    decay: float = 5e-4
    adaptive: bool = False
    alone: int = 0
    seed: int = 0


NEW: Final = 10
"""How much faster the new layers learn."""


@dataclass(frozen=True)
class Seeded:
    """A batch.

    Attributes:
        x: (N, C, size, size).
        seeds: int64 (N, h, w): a class, 0 background, below 0 nothing.
        present: bool (N, classes), which classes the pictures show.
        pixels: (N, 3, h, w), the pictures' colours in 0..255 at the cells.
    """

    x: Tensor
    seeds: Tensor
    present: Tensor
    pixels: Tensor


Loss = Callable[[Tensor, Seeded], dict[str, Tensor]]
"""Scores (N, classes, h, w) and their batch → terms that are added."""


def sec(scores: Tensor, batch: Seeded) -> dict[str, Tensor]:
    """SEC's three terms, of weight 1 each."""
    p = probabilities(scores)
    with torch.no_grad():
        between = pairs(batch.pixels)
    return {
        "seeding": seeding(p, batch.seeds),
        "expansion": expansion(p, batch.present),
        "boundary": boundary(p, mean_field(p.log(), between)),
    }


def masks(scores: Tensor, batch: Seeded) -> dict[str, Tensor]:
    """Cross-entropy at every cell, for whom the seeds are the whole truth: what is to be had with masks."""
    return {"masks": F.cross_entropy(scores, batch.seeds, ignore_index=-1)}


def rows_of(step: int, pictures: int, schedule: Schedule) -> list[int]:
    """Which pictures a step sees: in an order of each epoch's own, each once in it."""
    batch = min(schedule.batch, pictures)
    epoch, place = divmod(step, pictures // batch)
    order = np.random.default_rng((schedule.seed, epoch)).permutation(pictures)
    return [int(i) for i in order[place * batch : (place + 1) * batch]]


def learn(
    network: Segmenter,
    batch_of: Callable[[int], Seeded],
    loss: Loss,
    schedule: Schedule,
    checkpoint: Path,
    *,
    tell: Callable[[str], object] = lambda text: None,
) -> None:
    """Train a network in place; it is left in eval mode.

    Args:
        network: as it is made.
        batch_of: the batch of a step.
        loss: `sec` or `masks`.
        schedule: how.
        checkpoint: where what was learnt is kept every `SAVE_EVERY` steps; a run that was stopped goes on there, and
            ends at the same weights as one that was not.
        tell: is told how the terms stand.

    Raises:
        ExplainError: the checkpoint is another network's; the loss is not finite.
    """
    optimiser = _optimiser(network, schedule)
    start = _back(checkpoint, network, optimiser) if is_file(checkpoint) else 0
    if start:
        tell(f"{start} of {schedule.steps} steps are done already, {schedule.steps - start} are left.")
    since: list[dict[str, float]] = []
    network.train()
    for step in with_progress(range(start, schedule.steps), "Training"):
        rate = schedule.rate * schedule.fall ** (step * 4 // schedule.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        batch = batch_of(step)
        with torch.random.fork_rng([batch.x.device] if batch.x.is_cuda else []):
            torch.manual_seed(schedule.seed * 1_000_003 + step)
            terms = loss(network(batch.x), batch)
        counting = [term for name, term in terms.items() if name != "boundary" or step >= schedule.alone]
        total = torch.stack(counting).sum()
        if not torch.isfinite(total):
            raise ExplainError(f"The loss is not finite at step {step + 1}; take a smaller --rate.")
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        since.append({name: float(value.detach()) for name, value in terms.items()})
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == schedule.steps:
            told = ", ".join(f"{name} {sum(each[name] for each in since) / len(since):.3f}" for name in terms)
            tell(f"step {step + 1} of {schedule.steps}: {told}")
            since = []
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            write_whole(checkpoint, lambda file, state=state: torch.save(state, file))  # type: ignore[misc]
    network.eval()


def _optimiser(network: Segmenter, schedule: Schedule) -> torch.optim.Optimizer:
    new, old = list(network.head.parameters()), list(network.encoder.parameters())
    groups = [{"params": old, "factor": 1}, {"params": new, "factor": NEW}]
    if schedule.adaptive:
        return torch.optim.AdamW(
            groups, lr=schedule.rate, betas=(schedule.momentum, 0.999), weight_decay=schedule.decay
        )
    return torch.optim.SGD(groups, lr=schedule.rate, momentum=schedule.momentum, weight_decay=schedule.decay)


def _back(checkpoint: Path, network: Segmenter, optimiser: torch.optim.Optimizer) -> int:
    """Put the network and the optimiser back; how many steps were done."""
    try:
        state: dict[str, Any] = torch.load(
            checkpoint, map_location=next(network.parameters()).device, weights_only=True
        )
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except Exception as error:  # whatever torch finds wrong with a file
        raise ExplainError(
            f"{checkpoint} holds no state of this network ({type(error).__name__}); remove it to begin anew."
        ) from error
