"""A stronger question-only baseline than the most frequent answer: it has read the question, in any wording.

A linear classifier of which words and pairs of neighbouring words a question holds; no picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.lib.asked import Question, Split
from models.speaker import split_words

EPOCHS, BATCH, RATE, RARE = 6, 256, 0.02, 3


class QuestionReader:
    """Learns from the training questions; called with a question, it answers."""

    def __init__(self, train: Split, seed: int = 0) -> None:
        questions = [question for own in train.questions for question in own]
        counts = Counter(part for question in questions for part in parts(question.text))
        self.place = {part: i for i, part in enumerate(part for part, n in counts.items() if n >= RARE)}
        self.answers = sorted({question.answer for question in questions})
        torch.manual_seed(seed)
        self.table = nn.EmbeddingBag(len(self.place) + 1, len(self.answers), mode="sum")
        nn.init.zeros_(self.table.weight)
        right = {answer: i for i, answer in enumerate(self.answers)}
        truth = torch.tensor([right[question.answer] for question in questions])
        optimiser = torch.optim.Adam(self.table.parameters(), lr=RATE)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(questions)).split(BATCH):
                scores = self.table(*self._bags([questions[row].text for row in rows.tolist()]))
                loss = F.cross_entropy(scores, truth[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    @torch.inference_mode()
    def __call__(self, question: Question) -> str:
        """The likeliest answer."""
        return self.answers[int(self.table(*self._bags([question.text])).argmax())]

    def _bags(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        bags = [[self.place[part] for part in parts(text) if part in self.place] or [len(self.place)] for text in texts]
        starts = [0]
        for bag in bags[:-1]:
            starts.append(starts[-1] + len(bag))
        return torch.tensor([place for bag in bags for place in bag]), torch.tensor(starts)


def parts(text: str) -> set[str]:
    """The words of a question and the pairs of neighbours."""
    words = ["<", *split_words(text), ">"]
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}
