"""What all VQA models have in common: words of a question and their tokens, and which answer is which.

A model works in steps whose results may be kept: `see`, the encoder; `look`, what the language side makes of it;
`read`, the question; `answer`, both together.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .encoder import Seeing
from .speaker import Parts, split_words

PAD, UNKNOWN = 0, 1  # token i + 2 is vocabulary[i]


class Answerer(Seeing):
    """A VQA model but for how it looks (`look`), reads (`read`) and answers (`answer`)."""

    blank_word = "unk"  # in no vocabulary, so its token is UNKNOWN

    def __init__(self, vocabulary: Sequence[str], answers: Sequence[str]) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.answers = tuple(answers)
        self._token = {word: token for token, word in enumerate(self.vocabulary, start=2)}

    def look(self, seen: Tensor) -> Parts:
        """What `see` gave → what an answer needs of it."""
        raise NotImplementedError

    def read(self, tokens: Tensor, lengths: Tensor) -> Parts:
        """Padded questions (R, L) and their lengths (R,) → what an answer needs of them."""
        raise NotImplementedError

    def answer(self, looked: Parts, read: Parts) -> Tensor:
        """What `look` (R rows or 1) and `read` (R rows) gave → scores (R, answers) before the softmax."""
        raise NotImplementedError

    def forward(self, x: Tensor, tokens: Tensor, lengths: Tensor, asked: Sequence[int] | None = None) -> Tensor:
        """Pictures (N, 3, H, W), padded questions (Q, L) and their lengths (Q,) → scores (R, answers).

        R is the number of rows the encoder gave: N, unless a caller multiplied the rows inside it. `asked` is the
        number of the question of each row; without it they are in the order of the rows.
        """
        return self.answer(*self.put(x, tokens, lengths, asked))

    def put(
        self, x: Tensor, tokens: Tensor, lengths: Tensor, asked: Sequence[int] | None = None
    ) -> tuple[Parts, Parts]:
        """What `look` and `read` make of pictures and questions.

        Raises:
            ValueError: there are as many pictures neither as questions nor as one.
        """
        looked, count = self.look(self.see(x)), len(tokens if asked is None else asked)
        if len(looked[0]) not in (1, count):
            raise ValueError(f"{count} questions cannot be put to {len(looked[0])} encoded pictures: give one each.")
        read = self.read(tokens, lengths)
        return looked, read if asked is None else tuple(part[list(asked)] for part in read)

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        """Pre-softmax scores (R, answers) of R questions, one for each row the encoder gives for `x`."""
        different = {question: number for number, question in enumerate(dict.fromkeys(questions))}
        asked = None if len(different) == len(questions) else [different[question] for question in questions]
        scores: Tensor = self(x, *self.tokens(list(different), x.device), asked)  # what comes twice is read once
        return scores

    def tokens(self, questions: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        """Questions as padded tokens (R, L) on a device, and their lengths (R,)."""
        rows = [torch.tensor(self.tokenise(question)) for question in questions]
        lengths = torch.tensor([len(row) for row in rows])
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD).to(device), lengths

    def tokenise(self, question: str) -> list[int]:
        """The tokens of a question; case and punctuation do not matter, and a word never seen becomes UNKNOWN.

        Raises:
            ValueError: no word of the question is known.
        """
        tokens = [self._token.get(word, UNKNOWN) for word in split_words(question)]
        if all(token == UNKNOWN for token in tokens):
            raise ValueError(
                f"The question {question!r} holds no word the model knows; it knows words such as "
                f"{', '.join(self.vocabulary[:8])}."
            )
        return tokens


def last_states(cells: Iterable[nn.Module], words: Tensor, lengths: Tensor, width: int) -> Tensor:
    """H and c of LSTM cells after each question's last word, (R, 2 · cells · width), from its words (R, L, word).

    The questions are run longest first, and each leaves the batch after its last word, so padding costs nothing. Cells,
    since cuDNN's LSTM has no backward in eval mode.
    """
    lengths, order = lengths.cpu().sort(descending=True, stable=True)
    words = words[order.to(words.device)]
    cells = list(cells)
    zeros = words.new_zeros(len(words), width)
    state = [(zeros, zeros) for _ in cells]
    finished = []  # the states of the questions that ended, the shortest first
    for t in range(int(lengths[0])):
        running = int((lengths > t).sum())
        if running < len(state[0][0]):
            finished.append(torch.cat([part[running:] for pair in state for part in pair], dim=1))
            state = [(h[:running], c[:running]) for h, c in state]
        inputs = words[:running, t]
        for layer, cell in enumerate(cells):
            state[layer] = cell(inputs, state[layer])
            inputs = state[layer][0]
    finished.append(torch.cat([part for pair in state for part in pair], dim=1))
    return torch.cat(finished[::-1])[order.argsort().to(words.device)]
