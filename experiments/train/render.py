"""Render vignettes once into files the training scripts read: a memory map of pictures, their truth and texts.

    python -m experiments.train.render                      # all four splits, under runs/vignettes/
python -m experiments.train.render --train 2000 --test 500
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.progress import track

from mmcam.datasets import vignettes
from mmcam.datasets.vignettes import captions, questions

CHUNK = 100  # pictures a worker draws at a time


def main(
    train: int = 72_000,
    val: int = 500,
    test: int = 3_000,
    heldout: int = 3_000,
    asked: int = 24,
    folder: Path = Path("runs/vignettes"),
    workers: int = os.cpu_count() or 1,
) -> None:
    """Draw the first pictures of each split, with five captions and `asked` questions each."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("val", val), ("test", test), ("heldout", heldout), ("train", train)):
        if count and not (folder / f"{split}.jsonl").exists():
            render(folder, split, count, asked, workers)


def render(folder: Path, split: str, count: int, asked: int, workers: int) -> None:
    """Write `<split>.npy`, uint8 (count, 224, 224, 3), and `<split>.jsonl`, one `record` a picture."""
    pixels, texts = folder / f"{split}.npy.part", folder / f"{split}.jsonl.part"
    np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=(count, 224, 224, 3)).flush()
    chunks = [(pixels, split, start, min(start + CHUNK, count), asked) for start in range(0, count, CHUNK)]
    with ProcessPoolExecutor(workers) as pool, texts.open("w") as lines:
        for records in track(pool.map(_draw, chunks), f"rendering {split}", total=len(chunks)):
            lines.writelines(json.dumps(record) + "\n" for record in records)
    pixels.rename(folder / f"{split}.npy")
    texts.rename(folder / f"{split}.jsonl")  # last: its presence says that the split is whole


def _draw(chunk: tuple[Path, str, int, int, int]) -> list[dict[str, Any]]:
    """Render the pictures start..stop of a split into the memory map; their records."""
    path, split, start, stop, asked = chunk
    pixels = np.lib.format.open_memmap(path, mode="r+")
    seeds = [vignettes.seed(split, index) for index in range(start, stop)]
    for index, seed in zip(range(start, stop), seeds, strict=True):
        pixels[index] = vignettes.image(seed)
    return list(map(record, seeds, [asked] * len(seeds)))


def record(seed: int, asked: int) -> dict[str, Any]:
    """The truth, the captions and `asked` questions, each (text, type, answer), of one picture."""
    truth = vignettes.describe(seed)
    return {
        "truth": truth.to_json(),
        "captions": [caption.text for caption in captions.write(truth)],
        "questions": [(q.text, q.type, q.answer) for q in questions.ask(truth, asked)],
    }


if __name__ == "__main__":
    typer.run(main)
