"""What a captioner of photographs scores, by the width of its search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from experiments.lib.caption_training import measure, speak
from experiments.lib.captioned import Split
from experiments.lib.pictures import Pictures, activations
from experiments.lib.tables import keep
from models import Speaker

BEAMS: Final = (1, 2, 3, 5)
"""Widths of the search that are tried; the best on the validation split is the card's."""


def kept(front: nn.Module, split: Split, folder: Path) -> Split:
    """The validation split, its pictures being what the encoder's first layers made of them."""
    table = activations(front, split.pictures, folder, "flickr8k-val")
    return Split(Pictures(lambda rows: torch.from_numpy(table[rows]).float(), len(table)), split.captions)


def judged(
    model: Speaker, held: dict[str, Split], folder: Path, see: Callable[[Tensor], Tensor] | None = None
) -> dict[str, Any]:
    """The scores of every split at the width of the search that is best on the validation split, and at the others.

    Every caption is kept in `folder`. `see` is what gives the language side what it sees; default the whole encoder.
    """
    said = {split: speak(model, own, BEAMS, see) for split, own in held.items()}
    found = {
        str(beam): {split: measure(said[split][i], own) for split, own in held.items()} for i, beam in enumerate(BEAMS)
    }
    for i, beam in enumerate(BEAMS):
        whole = {split: {"said": said[split][i], "references": own.captions} for split, own in held.items()}
        keep(folder / f"said-{beam}.json", json.dumps(whole))
    best = max(BEAMS, key=lambda beam: found[str(beam)]["val"]["CIDEr"])
    return {"beam": best, "scores": found[str(best)], "scores by beam": found}
