"""Several questions put to a VQA model about one picture at once, and the occlusion maps of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import mmcam
from experiments.lib.human_prior import GRID, Grid, cells
from experiments.lib.protocol import SQUARES
from models import Answerer


class Asking(nn.Module):
    """A VQA model to which Q questions are put at once: from pictures (N,C,H,W), each seen once, to (N,Q,answers)."""

    def __init__(self, model: Answerer, questions: Sequence[str]) -> None:
        super().__init__()
        self.model, self.questions = model, tuple(questions)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before the softmax."""
        n, q = len(x), len(self.questions)
        looked = self.model.look(self.model.see(x))
        read = self.model.read(*self.model.tokens(self.questions, x.device))
        scores = self.model.answer(
            tuple(part.repeat_interleave(q, dim=0) for part in looked), tuple(torch.cat([part] * n) for part in read)
        )
        return scores.unflatten(0, (n, q))


def understood(model: Answerer, question: str) -> bool:
    """Whether a question holds a word that the model knows."""
    try:
        return bool(model.tokenise(question))
    except ValueError:
        return False


def occlusions(model: Answerer, x: Tensor, questions: Sequence[str], answers: Sequence[int]) -> Grid:
    """Occlusion maps (Q,14,14) of answers to questions about a picture (1,C,H,W), which is covered once for all."""
    if not questions:
        return np.zeros((0, *GRID), np.float32)

    def score(q: int, answer: int, output: Tensor) -> Tensor:
        return output[:, q, answer]

    targets = [partial(score, q, answer) for q, answer in enumerate(answers)]
    maps = mmcam.attribute(Asking(model, questions), x, targets, method="occlusion", **SQUARES)
    return cells(maps[:, 0].cpu().numpy())
