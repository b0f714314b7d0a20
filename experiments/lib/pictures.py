"""Pictures by number, wherever they come from, and what a frozen encoder makes of them, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from experiments.lib.precision import autocast
from experiments.lib.training import plain_pictures
from mmcam.image import Preprocess, load_image
from models import Answerer, Speaker


@dataclass(frozen=True)
class Pictures:
    """`count` pictures; `load` gives those of a slice as a model takes them (N, 3, H, W)."""

    load: Callable[[slice], Tensor]
    count: int

    def __len__(self) -> int:
        return self.count

    def rows(self, size: int = 100) -> Iterator[slice]:
        """Which pictures, all in order, at most `size` at once."""
        for start in track(range(0, self.count, size), "encoding"):
            yield slice(start, min(start + size, self.count))

    def batches(self, size: int = 100) -> Iterator[tuple[slice, Tensor]]:
        """All pictures in order."""
        for rows in self.rows(size):
            yield rows, self.load(rows)


def rendered(pixels: np.ndarray) -> Pictures:
    """Vignettes of a memory map (N, 224, 224, 3)."""
    return Pictures(lambda rows: plain_pictures(pixels[rows]), len(pixels))


def photographs(paths: Sequence[Path], preprocess: Preprocess) -> Pictures:
    """Files."""
    return Pictures(lambda rows: torch.stack([preprocess(load_image(path))[0] for path in paths[rows]]), len(paths))


def encoded(model: Speaker | Answerer, pictures: Pictures, folder: Path, name: str) -> np.ndarray:
    """What `model.see` makes of every picture, halves in a file of `folder` that is read again if it is there."""
    was_training = model.training
    model.eval()
    table = activations(model.backbone, pictures, folder, name, see=model.see)
    model.train(was_training)
    return table


@torch.no_grad()
def activations(
    network: nn.Module,
    pictures: Pictures,
    folder: Path,
    name: str,
    *,
    mirrored: bool = False,
    see: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """What a network in eval mode makes of every picture, halves in a file of `folder` that is read again.

    The file's name tells the pictures' name and number, the shape of what is kept, and the network's weights.

    Args:
        network: whose weights count.
        pictures: what it sees.
        folder: for the file.
        name: of the pictures.
        mirrored: whether it sees them mirrored, left for right.
        see: what is kept of a batch; default what the network gives.
    """
    see = network if see is None else see
    shape = see(pictures.load(slice(0, 1))).shape[1:]
    name = f"{name}-mirrored" if mirrored else name
    path = folder / f"{name}-{len(pictures)}-{'x'.join(map(str, shape))}-{fingerprint(network)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        table = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(len(pictures), *shape))
        for rows, x in pictures.batches():
            with autocast():
                seen = see((x.flip(3) if mirrored else x).to(memory_format=torch.channels_last))
            table[rows] = seen.half().numpy()
        part.rename(path)
    return np.load(path, mmap_mode="r")


def fingerprint(module: nn.Module) -> str:
    """Eight characters that change with the weights of a module."""
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
