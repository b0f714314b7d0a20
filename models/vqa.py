"""`vignette-vqa`: the answer to a question about a picture, in the scheme of "deeper LSTM Q + norm I" (Lu et al. 2015).

The last cell and hidden states of a two-layer LSTM stand for the question, the length-normalised fc7 for the picture;
each is brought to one common space, and their product is classified. See github.com/GT-Vision-Lab/VQA_LSTM_CNN.
"""

import math
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.captioner import remember
from models.encoder import PREPROCESS, Encoder

PAD, UNKNOWN = 0, 1  # token i + 2 is vocabulary[i]


class VQA(nn.Module):
    """Encoder and question LSTM → two vectors → their product → scores of the answers."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        answers: Sequence[str],
        *,
        word: int = 200,
        state: int = 512,
        common: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.preprocess = PREPROCESS
        self.vocabulary = tuple(vocabulary)
        self.answers = tuple(answers)
        self.encoder = Encoder()
        self.embedding = nn.Embedding(len(self.vocabulary) + 2, word)
        # cells, since cuDNN's LSTM has no backward in eval mode
        cells = [nn.LSTMCell(word, state), nn.LSTMCell(state, state)]
        for cell in cells:
            remember(cell)
        self.cells = nn.ModuleList(cells)
        self.picture = nn.Linear(self.encoder.width, common)
        self.question = nn.Linear(4 * state, common)
        self.output = nn.Linear(common, len(self.answers))
        self.dropout = nn.Dropout(dropout)
        self._token = {word: token for token, word in enumerate(self.vocabulary, start=2)}

    def forward(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224), padded questions (R, L) and their lengths (R,) → scores (R, answers).

        R is the number of rows the encoder gave: N, unless a caller multiplied the rows inside it.
        """
        return self.answer(self.look(self.encoder(x)), self.read(tokens, lengths))

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        """Pre-softmax scores (R, answers) of R questions, one for each row the encoder gives for `x`."""
        tokens = [torch.tensor(self.tokenise(question)) for question in questions]
        lengths = torch.tensor([len(row) for row in tokens])
        padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PAD)
        return self(x, padded.to(x.device), lengths)

    def tokenise(self, question: str) -> list[int]:
        """The tokens of a question; case and punctuation do not matter, and a word never seen becomes UNKNOWN."""
        tokens = [self._token.get(word, UNKNOWN) for word in re.findall(r"[a-z0-9'-]+", question.lower())]
        if all(token == UNKNOWN for token in tokens):
            raise ValueError(
                f"The question {question!r} holds no word the model knows; it knows words such as "
                f"{', '.join(self.vocabulary[:8])}."
            )
        return tokens

    def read(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Padded questions (R, L) and their lengths (R,) → (R, common), from the last c and h of both layers.

        The questions are run longest first, and each leaves the batch after its last word, so padding costs nothing.
        """
        lengths, order = lengths.cpu().sort(descending=True, stable=True)
        words = self.dropout(torch.tanh(self.embedding(tokens[order.to(tokens.device)])))  # (R, L, word)
        zeros = words.new_zeros(len(words), self.cells[0].hidden_size)
        state = [(zeros, zeros) for _ in self.cells]
        finished = []  # the states of the questions that ended, the shortest first
        for t in range(int(lengths[0])):
            running = int((lengths > t).sum())
            if running < len(state[0][0]):
                finished.append(torch.cat([part[running:] for pair in state for part in pair], dim=1))
                state = [(h[:running], c[:running]) for h, c in state]
            inputs = words[:running, t]
            for layer, cell in enumerate(self.cells):
                state[layer] = cell(inputs, state[layer])
                inputs = state[layer][0]
        finished.append(torch.cat([part for pair in state for part in pair], dim=1))
        states = torch.cat(finished[::-1])[order.argsort().to(tokens.device)]
        return torch.tanh(self.question(self.dropout(states)))

    def look(self, fc7: Tensor) -> Tensor:
        """Encoded pictures (N, fc7) → (N, common)."""
        # Lu et al. give fc7 length 1; √width makes its entries of order 1, where tanh learns at a common rate.
        fc7 = F.normalize(fc7, dim=1) * math.sqrt(fc7.shape[1])
        return torch.tanh(self.picture(self.dropout(fc7)))

    def answer(self, picture: Tensor, question: Tensor) -> Tensor:
        """What `look` and `read` gave, (R or 1, common) and (R, common) → scores (R, answers)."""
        if len(picture) not in (1, len(question)):
            raise ValueError(
                f"{len(question)} questions cannot be put to {len(picture)} encoded pictures: give one each."
            )
        return self.output(self.dropout(picture * question))
