"""Do the names of units tell the truth? Dissect the bundled models and hold their texts against the vignettes.

    python -m experiments.paper.neuron_truth

Four questions. How many units are detectors, in trained encoders and in random ones? Is what a text names in the
picture, and does it belong to what was said? Does the score fall more without the named units than without as many
random ones? And when a classifier has learned that boats are at sea, does its text say so?

Most units of the classifier's last layer were trained to answer for one class or fact each
(`experiments.train.classifier`), and the other bundled encoders begin with its weights. That such units have names is
no discovery, so the others are counted apart, and texts are also made of the others' names alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from experiments.lib.neurons.bias import bias, show_bias
from experiments.lib.neurons.detectors import detectors, show_detectors
from experiments.lib.neurons.removal import removal, show_removal
from experiments.lib.neurons.texts import show_texts, texts
from experiments.lib.sheets import keep_sheet

LESSONS: Final = 4000
"""Vignettes that a biased and an unbiased classifier learn from."""


def main(
    pictures: int = 100,
    probes: int = 1000,
    removals: int = 30,
    out: Path = Path("experiments/results"),
    work: Path = Path("runs/dissections"),
    seed: int = 0,
) -> None:
    """Write neuron-detectors, neuron-text, neuron-removal and neuron-bias (.json, .md), the last two with a picture."""
    command = f"python -m experiments.paper.neuron_truth --pictures {pictures} --probes {probes} --removals {removals}"
    show_detectors(detectors(probes, work), probes, out, command)
    show_texts(texts(pictures, probes, work), pictures, out, command)
    show_removal(removal(removals, probes, work, seed), removals, seed, out, command)
    biased, sheet = bias(pictures, probes, work, LESSONS)
    show_bias(biased, LESSONS, out, command)
    keep_sheet(out / "neuron-bias.webp", sheet)


if __name__ == "__main__":
    typer.run(main)
