"""`vignette-vqa`: the answer to a question about a picture, in the scheme of "deeper LSTM Q + norm I" (Lu et al. 2015).

The last cell and hidden states of a two-layer LSTM stand for the question, the length-normalised fc7 for the picture;
each is brought to one common space, and their product is classified. See github.com/GT-Vision-Lab/VQA_LSTM_CNN.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .answerer import Answerer, last_states
from .encoder import PREPROCESS, Encoder, Features
from .photo import Pooled
from .speaker import Parts, remember


@dataclass(frozen=True)
class Widths:
    """Of the words' embedding, the LSTM's layers, and the space in which picture and question meet."""

    word: int = 200
    state: int = 512
    common: int = 1024


class VQA(Answerer):
    """Encoder and question LSTM → two vectors → their product → scores of the answers.

    Args:
        vocabulary: the words of questions it knows.
        answers: what it can answer.
        dropout: while training.
        encoder: from pictures to vectors of its `width`; default the bundled models' own.
        widths: those of `Widths` that are to be others, by name.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        answers: Sequence[str],
        *,
        dropout: float = 0.5,
        encoder: Encoder | Pooled | None = None,
        **widths: int,
    ) -> None:
        super().__init__(vocabulary, answers)
        word, state, common = astuple(Widths(**widths))
        self.encoder = Encoder() if encoder is None else encoder
        self.preprocess = getattr(self.encoder, "preprocess", PREPROCESS)
        self.embedding = nn.Embedding(len(self.vocabulary) + 2, word)
        cells = [nn.LSTMCell(word, state), nn.LSTMCell(state, state)]
        for cell in cells:
            remember(cell)
        self.cells = nn.ModuleList(cells)
        self.picture = nn.Linear(self.encoder.width, common)
        self.question = nn.Linear(4 * state, common)
        self.output = nn.Linear(common, len(self.answers))
        self.dropout = nn.Dropout(dropout)

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    @property
    def convolutions(self) -> Features:
        """The encoder up to its last map."""
        return self.encoder.features

    def look(self, seen: Tensor) -> Parts:
        """Fc7 (N, width) → (N, common)."""
        # Lu et al. give fc7 length 1; √width makes its entries of order 1, where tanh learns at a common rate.
        fc7 = F.normalize(seen, dim=1) * math.sqrt(seen.shape[1])
        return (torch.tanh(self.picture(self.dropout(fc7))),)

    def read(self, tokens: Tensor, lengths: Tensor) -> Parts:
        """Padded questions (R, L) and their lengths (R,) → (R, common), from the last h and c of both layers."""
        words = self.dropout(torch.tanh(self.embedding(tokens)))
        states = last_states(self.cells, words, lengths, self.question.in_features // 4)
        return (torch.tanh(self.question(self.dropout(states))),)

    def answer(self, looked: Parts, read: Parts) -> Tensor:
        """The product of both, classified."""
        scores: Tensor = self.output(self.dropout(looked[0] * read[0]))
        return scores
