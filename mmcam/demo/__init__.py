"""The tour: a photograph by class, caption and answer, then a vignette, where it is known what is where."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from mmcam.datasets import vignettes
from mmcam.demo.photograph import explain_photograph
from mmcam.demo.vignette import explain_vignette


def run_demo(photo: Path | None, question: str | None, seed: int, out: Path, console: Console) -> None:
    """Explain a photograph and the vignette of a seed by the bundled models, write the maps, and say what and why.

    Args:
        photo: a file; default the photograph that comes with mmcam.
        question: about the photograph; default the one that comes with it, or one that fits any.
        seed: of the vignette.
        out: folder for the pictures.
        console: where it is told.

    Raises:
        ExplainError: the bundled models are not there, or do not know a word of the question.
        PictureError: the photograph cannot be read.
        ValueError: a seed that belongs to no split.
    """
    begin = time.perf_counter()
    vignettes.describe(seed)  # a seed of no split is told before anything is written
    files, next_steps = explain_photograph(photo, question, out, console)
    more, further = explain_vignette(seed, out, console)
    console.print(f"\nIn {time.perf_counter() - begin:.1f} s. Open:", highlight=False)
    for name, file in (files | more).items():
        console.print(f"   {file}   {name}", highlight=False, soft_wrap=True)
    console.print("\nYellow is where the score came from. Next:", highlight=False)
    for line in (*next_steps, *further):
        console.print(f"   {line}", highlight=False, soft_wrap=True)
