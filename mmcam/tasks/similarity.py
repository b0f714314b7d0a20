"""Similarity of pictures and texts: the protocol of a model such as CLIP, and its score as the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mmcam.engine.computation import Computation
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled


@runtime_checkable
class SimilarityModel(Protocol):
    """What a model that compares pictures and texts offers, besides being an ``nn.Module``.

    Optional: ``preprocess`` (`mmcam.Preprocess`) says how its pictures are made; ``picture_encoder`` names the module
    that sees the pictures alone, as in `mmcam.Captioner`.
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


def ask(model: Any, batch: Batch, texts: Sequence[str], others: Sequence[str] | None) -> Asked:
    """Which part of each picture made it fit a text, or rather this text than that.

    Args:
        model: compares pictures and texts.
        batch: the pictures.
        texts: one a picture.
        others: the same, of what is rather not meant; None without a contrast.

    Raises:
        ExplainError: a contrast that is the text itself.
    """
    for one, other in zip(texts, others or (), strict=others is not None):
        if one.split() == other.split():
            raise both_are("text", one)
    n = len(texts)

    def forward(x: Tensor, rows: Rows) -> Any:
        return model.similarity(x, rows.spread([*texts, *(others or ())]))

    def score(output: Any) -> Any:
        return output if others is None else output[:n] - output[n:]

    def label(t: int, n: int, score: float) -> Label:
        other = None if others is None else others[n]
        return Label(titled(texts[n], other), f"The picture fits {quoted(texts[n], other)}", scored="similarity")

    computation = Computation(model, forward, batch.x, [score], texts=1 if others is None else 2)
    return Asked(batch, computation, label, [[0]] * n, language=True)
