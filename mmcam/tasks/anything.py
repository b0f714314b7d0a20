"""Run any task's model on pictures alone, for those who look at its encoder rather than at what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mmcam.engine.calling import called

TEXT = "what is this"
"""The question that is asked, or the text that is compared."""


def forward_of(module: nn.Module) -> Callable[[Tensor], Any]:
    """Pictures (N,C,H,W) → whatever the model makes of them: logits, captions, or answers to a stock question."""
    model: Any = module

    def forward(x: Tensor) -> Any:
        texts = [TEXT] * len(x)
        if hasattr(model, "answer_scores"):
            return model.answer_scores(x, texts)
        if hasattr(model, "asked"):
            with model.asked(texts):
                return model.generate(x)
        if hasattr(model, "token_log_probs"):
            return model.generate(x)
        return (
            model.similarity(x, texts) if hasattr(model, "similarity") and not has_forward(model) else called(model, x)
        )

    return forward


def has_forward(module: nn.Module) -> bool:
    """Whether a module can be called at all: some models of two inputs only offer their task's methods."""
    return getattr(module.forward, "__func__", None) is not nn.Module.forward
