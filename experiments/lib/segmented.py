"""Vignettes as a labelled folder, and the network that CAM needs, for the experiment on segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.lib.picture_tables import save_png, write_table
from mmcam.datasets import vignettes
from mmcam.files import is_file, write_whole

KINDS: Final = tuple(vignettes.KINDS)
CAM_PICTURES: Final = 600


def folder_of(work: Path, split: str, pictures: int, first: int = 0) -> Path:
    """A table of vignettes of a split from one on, each visible kind with its mask; drawn where missing."""
    table = work / f"{split}-{pictures}{f'-from-{first}' if first else ''}.csv"
    if is_file(table):
        return table
    rows = []
    for i in track(range(first, first + pictures), f"{split} vignettes"):
        scene = vignettes.draw(vignettes.seed(split, i))
        name = f"{split}/{i}.png"
        save_png(work / name, scene.image)
        for kind, mask in kinds_in(scene).items():
            own = f"{split}/{i}-{kind.replace(' ', '-')}.png"
            save_png(work / own, Image.fromarray(mask))
            rows.append({"picture": name, "class": kind, "mask": own})
    return write_table(table, ("picture", "class", "mask"), rows)


def kinds_in(scene: vignettes.Vignette) -> dict[str, np.ndarray]:
    """The visible pixels of every kind of which there are some."""
    masks = {kind: scene.kind_mask(kind) for kind in KINDS}
    return {kind: mask for kind, mask in masks.items() if mask.any()}


class Pooled(nn.Module):
    """The network that CAM was made for: convolutions, their mean over the places, one linear layer."""

    class_probabilities = "sigmoid"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.classes, self.preprocess, self.features = KINDS, model.preprocess, model.encoder.features
        self.output = nn.Linear(self.features.units, len(KINDS))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) → logits (N, kinds)."""
        logits: Tensor = self.output(self.features(x).mean((2, 3)))
        return logits


def pooled(model: Any, path: Path, pictures: int = CAM_PICTURES) -> Pooled:
    """A classifier's convolutions with a linear layer on their mean, learnt from the kinds in train vignettes.

    The layer is kept in a file.
    """
    net = Pooled(model).eval()
    if is_file(path):
        net.output.load_state_dict(safetensors.torch.load_file(path))
        return net
    means, labels = [], []
    for i in track(range(pictures), "the linear layer of CAM"):
        seed = vignettes.seed("train", i)
        x = model.preprocess(Image.fromarray(vignettes.image(seed)))[0][None]
        with torch.no_grad():
            means.append(net.features(x).mean((2, 3))[0])
        there = {thing.kind for thing in vignettes.describe(seed).things}
        labels.append([float(kind in there) for kind in KINDS])
    seen, truth = torch.stack(means), torch.tensor(labels)
    centre, spread = seen.mean(0), seen.std(0).clamp(min=1e-3)
    line = nn.Linear(seen.shape[1], len(KINDS))
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=100)

    def loss() -> Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(line((seen - centre) / spread), truth)
        total = fit + 1e-3 * line.weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    with torch.no_grad():  # the same on means as they are
        net.output.weight.copy_(line.weight / spread)
        net.output.bias.copy_(line.bias - (line.weight * centre / spread).sum(1))
    learnt = safetensors.torch.save(dict(net.output.state_dict()))
    write_whole(path, lambda file: file.write(learnt))
    return net
