"""Run any task's model on pictures alone, for those who look at its encoder rather than at what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def forward_of(module: nn.Module) -> Callable[[Tensor], Any]:
    """Pictures (N,C,H,W) → whatever the model makes of them: logits, captions, or answers to a stock question."""
    model: Any = module

    def forward(x: Tensor) -> Any:
        if hasattr(model, "answer_scores"):
            return model.answer_scores(x, ["what is this"] * len(x))
        return model.generate(x) if hasattr(model, "token_log_probs") else model(x)

    return forward
