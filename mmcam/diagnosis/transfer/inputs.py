"""Pictures as the network takes them, as bytes in one file: a photograph is decoded once, not every epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcam.files import is_file, read_json, write_whole
from mmcam.image import Preprocess, load_image
from mmcam.progress import with_progress

CHUNK = 64
"""Pictures after which it is noted how far the work has come."""


class Kept:
    """Rows of numbers in a file, filled chunk by chunk; goes on where it was stopped.

    Attributes:
        rows: the numbers, mapped from the file.
        done: how many rows are filled.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any, key: str) -> None:
        self._note = path.with_suffix(".json")
        self._key = key
        noted = read_json(self._note) if is_file(self._note) and is_file(path) else {}
        self.done = int(noted["done"]) if noted.get("key") == key else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        mode: Any = "r+" if self.done else "w+"
        self.rows: Any = np.lib.format.open_memmap(path, mode=mode, dtype=dtype, shape=shape)

    def filled(self, until: int) -> None:
        """The rows up to `until` are there."""
        self.rows.flush()
        self.done = until
        text = json.dumps({"key": self._key, "done": until}).encode()
        write_whole(self._note, lambda file: file.write(text))


class Inputs:
    """Pictures (N, C, H, W) in bytes, and how they are normalised."""

    def __init__(self, pixels: NDArray[np.uint8], preprocess: Preprocess) -> None:
        self.pixels, self.preprocess = pixels, preprocess

    def bytes_of(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Pictures as they are kept, (n, C, H, W) uint8."""
        return torch.from_numpy(np.ascontiguousarray(self.pixels[np.asarray(rows)]))

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Pictures as the network takes them, (n, C, H, W) float32."""
        return self.preprocess.normalise(self.bytes_of(rows))


def inputs_of(paths: Sequence[Path], preprocess: Preprocess, file: Path, key: str) -> Inputs:
    """Prepare pictures and keep them.

    Args:
        paths: pictures that can be opened.
        preprocess: of the network.
        file: where, ``.npy``.
        key: what the content depends on; what was kept under another is made anew.
    """
    kept = Kept(file, (len(paths), len(preprocess.mean), *preprocess.size), np.uint8, key)
    starts = range(kept.done, len(paths), CHUNK)
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (preprocess.mean, preprocess.std))
    for start in with_progress(starts, "Preparing pictures"):
        rows = range(start, min(start + CHUNK, len(paths)))
        for row in rows:
            # A resized picture has whole bytes, which normalising and its inverse leave as they were.
            x = preprocess(load_image(paths[row]))[0]
            kept.rows[row] = ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        kept.filled(rows.stop)
    return Inputs(kept.rows, preprocess)
