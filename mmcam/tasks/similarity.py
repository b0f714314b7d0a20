"""Similarity of pictures and texts: the protocol of a model such as CLIP, and its score as the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mmcam.errors import ExplainError


@runtime_checkable
class SimilarityModel(Protocol):
    """What a model that compares pictures and texts offers, besides being an ``nn.Module``.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made.
    """

    def similarity(self, x: Tensor, texts: Sequence[str]) -> Tensor:
        """The score (R,) of picture and text, as the model scales it, for pictures x (N,C,H,W) and R texts.

        R is a multiple of N: the engine repeats the encoder's rows to match, so nothing behind the encoder may take its
        number of rows from x. Row r is picture ``r % N`` with text r.
        """


def check_similarity(model: Any) -> None:
    """Raise ExplainError unless the model offers the protocol."""
    if not hasattr(model, "similarity"):
        raise ExplainError(
            f"{type(model).__name__} compares no pictures with texts: it lacks similarity (see mmcam.SimilarityModel); "
            "mmcam.wrap(model, processor) makes a CLIP, SigLIP or ALIGN one."
        )
