"""Vignettes as a PyTorch data set, drawn when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from mmcam.datasets.vignettes import captions, questions, render
from mmcam.datasets.vignettes.world import SPLIT_SIZE, World, describe, seed

WHAT = ("captions", "questions", "codes")


class VignetteDataset(Dataset[dict[str, Any]]):
    """The first `size` pictures of a split.

    Items are dicts with ``image`` ((3, 224, 224) uint8 tensor), ``truth``, and what `what` names:
    ``captions`` (list of five), ``questions`` (list of about twelve), ``codes`` ((224, 224) uint8 tensor, see
    ``render.codes``). Give `collate` to a ``DataLoader``.

    Args:
        split: ``"train"``, ``"val"``, ``"test"`` or ``"heldout"``.
        size: number of pictures.
        world: the rules.
        what: any of ``"captions"``, ``"questions"``, ``"codes"``.

    Raises:
        ValueError: for an unknown split, a size outside it, or an unknown word in `what`.
    """

    def __init__(
        self,
        split: str,
        size: int,
        world: World = World(),  # noqa: B008 - frozen
        what: Sequence[str] = ("captions", "questions"),
    ) -> None:
        if not 0 < size <= SPLIT_SIZE:
            raise ValueError(f"A split has 1 … {SPLIT_SIZE} pictures, not {size}.")
        unknown = sorted(set(what) - set(WHAT))
        if unknown:
            raise ValueError(f"A vignette has no {', '.join(unknown)}; choose among {', '.join(WHAT)}.")
        self.first = seed(split, 0)
        self.size = size
        self.world = world
        self.what = tuple(what)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"Picture {index} is outside 0 … {self.size - 1}.")
        truth = describe(self.first + index, self.world)
        item: dict[str, Any] = {
            "image": torch.from_numpy(render.picture(truth)).permute(2, 0, 1).contiguous(),
            "truth": truth,
        }
        if "captions" in self.what:
            item["captions"] = captions.write(truth)
        if "questions" in self.what:
            item["questions"] = questions.ask(truth)
        if "codes" in self.what:
            item["codes"] = torch.from_numpy(render.codes(truth))
        return item


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch: tensors stacked, everything else in lists."""
    return {
        name: torch.stack([item[name] for item in items]) if torch.is_tensor(first) else [i[name] for i in items]
        for name, first in items[0].items()
    }
