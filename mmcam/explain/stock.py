"""What is asked of a model when nobody asks: its own class, caption, or answer to a stock question."""

from __future__ import annotations

from typing import Any

from mmcam.adapters.class_names import classes_of
from mmcam.image import Batch
from mmcam.tasks import captioning, classification, similarity, vqa
from mmcam.tasks.anything import TEXT, has_forward
from mmcam.tasks.asked import Asked


def stock_question(module: Any, batch: Batch, target: Any = None) -> Asked:
    """The question the model answers by itself; `target` is of a classifier."""
    if hasattr(module, "asked"):
        with module.asked([TEXT]):
            rows = captioning.caption_tokens(module, batch.x, None)
            return captioning.ask(module, batch, [captioning.whole(module, row, None) for row in rows], None)
    if hasattr(module, "answer_scores"):
        return vqa.ask(module, batch, [TEXT], [[None]], vqa.AnswerScore())
    if hasattr(module, "token_log_probs"):
        rows = captioning.caption_tokens(module, batch.x, None)
        return captioning.ask(module, batch, [captioning.whole(module, row, None) for row in rows], None)
    if hasattr(module, "similarity") and not has_forward(module):
        return similarity.ask(module, batch, [TEXT], None)
    return classification.ask(module, batch, [target], None, classes_of(module))
