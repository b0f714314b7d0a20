"""What the three training scripts share: batches that follow from the step alone, checkpoints, and publishing.

Everything random in a step (which pictures, how they are shifted, dropout) is drawn from (seed, step), so a run that
was stopped and resumed ends at the same weights as one that was not.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.progress import track
from torch import Tensor, nn

from models import packaged
from models.encoder import PREPROCESS

SHIFT = 8  # pixels a training picture is moved by at most, either way
BRIGHTNESS = 0.1


def rows_of(step: int, pictures: int, batch: int, seed: int) -> np.ndarray:
    """Which pictures step `step` sees: each once an epoch, in an order of the epoch's own."""
    per_epoch = max(1, pictures // batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(pictures)
    return order[place * batch : (place + 1) * batch]


def pictures_of(pixels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The pictures `rows`, shifted by a few pixels and a little brighter or darker: (N, 3, 224, 224), channels last."""
    moved = np.empty((len(rows), *pixels.shape[1:]), np.uint8)
    height, width = (np.arange(n) for n in pixels.shape[1:3])
    for place, row in enumerate(rows):
        dy, dx = rng.integers(-SHIFT, SHIFT + 1, 2)
        ys, xs = (height + dy).clip(0, height[-1]), (width + dx).clip(0, width[-1])
        moved[place] = pixels[row].take(ys, 0).take(xs, 1)
    x = PREPROCESS.normalise(torch.from_numpy(moved).permute(0, 3, 1, 2))
    gain = torch.from_numpy(rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, (len(rows), 1, 1, 1)).astype(np.float32))
    return x * gain


def plain_pictures(pixels: np.ndarray) -> Tensor:
    """Rendered pictures (N, 224, 224, 3) as a model's `preprocess` would give them: (N, 3, 224, 224)."""
    return PREPROCESS.normalise(torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2))


def loaded(load: Callable[[int], Any], start: int, steps: int) -> Iterator[tuple[int, Any]]:
    """(step, load(step)) for the steps start..steps, the next one being loaded while the caller computes."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(load, start) if start < steps else None
        for step in track(range(start, steps), "training"):
            assert coming is not None
            now = coming.result()
            coming = thread.submit(load, step + 1) if step + 1 < steps else None
            yield step, now


def optimiser_of(model: nn.Module, decay: float) -> torch.optim.Optimizer:
    """AdamW of what is to be trained, that decays matrices and kernels, not biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over a twentieth of the run (100 steps at most), then half a cosine down to zero."""
    warm = max(1, min(steps // 20, 100))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def descend(model: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    """One step of the optimiser down `loss` at learning rate `rate`, the gradient clipped to length 1."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


class Log:
    """Figures of a run: means since the last line, to the terminal and to a file of JSON lines."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.sums: dict[str, float] = {}
        self.count, self.since = 0, time.monotonic()

    def __call__(self, step: int, **figures: Tensor) -> None:
        """Add the figures of one step; every `every` steps, write their means."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.count += 1
        if (step + 1) % self.every:
            return
        line = {name: round(total / self.count, 5) for name, total in self.sums.items()}
        seconds = round((time.monotonic() - self.since) / self.count, 3)
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step + 1, **line, "seconds": seconds}) + "\n")
        print(f"step {step + 1}", *(f"{k} {v:.4f}" for k, v in line.items()), f"{seconds} s/step", flush=True)
        self.sums, self.count, self.since = {}, 0, time.monotonic()


def save_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    """What `load_checkpoint` needs to go on after `step` steps; a crash while writing leaves the last one whole."""
    part = path.with_suffix(".part")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds}
    torch.save(state, part)
    part.rename(path)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    """Put the model and the optimiser back; how many steps and how many seconds they had been trained."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["seconds"]


def publish(model: nn.Module, card: dict[str, Any], folder: Path) -> None:
    """Write `<name>.safetensors`, halves but for the norms' statistics, and its card, each whole or not at all.

    What the encoder's package brings is left out: the tensors that, rounded alike, are the same there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    theirs = {key: _rounded(key, value) for key, value in packaged(model, card).items()}
    state = {key: _rounded(key, value).cpu().contiguous() for key, value in model.state_dict().items()}
    own = {key: value for key, value in state.items() if key not in theirs or not torch.equal(value, theirs[key])}
    weights = safetensors.torch.save(own)
    card = {**card, "parameters": sum(p.numel() for p in model.parameters()), "bytes": len(weights)}
    card["sha256"] = hashlib.sha256(weights).hexdigest()
    for suffix, data in (("safetensors", weights), ("json", (json.dumps(card, indent=1) + "\n").encode())):
        part = folder / f"{card['name']}.{suffix}.{os.getpid()}"
        part.write_bytes(data)
        part.rename(folder / f"{card['name']}.{suffix}")


def _rounded(key: str, value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and "running_" not in key else value
