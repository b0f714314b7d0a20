"""Rendered vignettes as `experiments.train.render` wrote them: pictures left on the disk, and their records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer


def read(folder: Path, split: str) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The pictures (N, 224, 224, 3), left on the disk, and the records of a rendered split."""
    if not (folder / f"{split}.jsonl").exists():
        raise typer.BadParameter(
            f"{folder} holds no rendered {split} split; run python -m experiments.train.render first."
        )
    with (folder / f"{split}.jsonl").open() as lines:
        records = [json.loads(line) for line in lines]
    return read_pixels(folder, split), records


def read_pixels(folder: Path, split: str) -> np.ndarray:
    """The pictures (N, 224, 224, 3) of a rendered split, left on the disk."""
    return np.load(folder / f"{split}.npy", mmap_mode="r")


def in_batches(pixels: np.ndarray, size: int = 100) -> Iterator[tuple[slice, np.ndarray]]:
    """Consecutive slices of a split and their pictures."""
    for start in range(0, len(pixels), size):
        rows = slice(start, start + size)
        yield rows, pixels[rows]
