"""`vignette-san`: a stacked attention network of two hops, SAN-2 (Yang et al. 2016, arXiv:1511.02274).

The question's vector weighs the regions of the encoder's last map, the weighted sum is added to it, and the sum looks a
second time (equations 15-20). As published but for three things: of a 14×14 map the regions are 7×7 maxima over 2×2
places, a quarter of the work (a map of 7×7 is taken whole, `pool=1`); the regions have a bias each, so that attention
can also say where; and the question is read by h and c of one LSTM layer.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn

from .answerer import Answerer, last_states
from .encoder import Features, features
from .speaker import Parts, remember


@dataclass(frozen=True)
class Widths:
    """Of the words' embedding; of the LSTM, a region and the question; of the space in which the last two meet."""

    word: int = 200
    state: int = 384
    key: int = 192


class SAN(Answerer):
    """Encoder's map and question LSTM → attention, twice → scores of the answers.

    Args:
        vocabulary: the words of questions it knows.
        answers: what it can answer.
        hops: how often it looks.
        product: the answer is read from the sum of question and regions, as published, and from their product, too,
            as Lu et al. 2015 do; without it only the attention can tell whether there is a dog.
        pool: a region is the maxima over so many places of the map a side; 1 takes each as it is.
        dropout: before the answer, while training.
        encoder: from pictures to maps; default the bundled models' own.
        widths: those of `Widths` that are to be others, by name.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        answers: Sequence[str],
        *,
        hops: int = 2,
        pool: int = 2,
        product: bool = False,
        dropout: float = 0.5,
        encoder: Features | None = None,
        **widths: int,
    ) -> None:
        super().__init__(vocabulary, answers)
        word, state, key = astuple(Widths(**widths))
        self.features = features() if encoder is None else encoder
        self.preprocess = self.features.preprocess
        self.pool = nn.MaxPool2d(pool)
        self.side = self.features.side // pool
        self.region = nn.Linear(self.features.units, state)
        self.place = nn.Parameter(torch.zeros(self.side**2, state))
        self.embedding = nn.Embedding(len(self.vocabulary) + 2, word)
        self.cell = nn.LSTMCell(word, state)
        remember(self.cell)
        self.question = nn.Linear(2 * state, state)
        self.keys = nn.ModuleList(nn.Linear(state, key, bias=False) for _ in range(hops))
        self.queries = nn.ModuleList(nn.Linear(state, key) for _ in range(hops))
        self.energies = nn.ModuleList(nn.Linear(key, 1) for _ in range(hops))
        self.product = product
        self.output = nn.Linear(state * (1 + product), len(self.answers))
        self.dropout = nn.Dropout(dropout)

    def see(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) → the greatest values of pool×pool places, (N, units, side, side)."""
        maps: Tensor = self.pool(self.features(x))
        return maps

    def look(self, seen: Tensor) -> Parts:
        """The regions (N, side², state), and their keys (N, side², key) for every hop."""
        regions = torch.tanh(self.region(seen.flatten(2).transpose(1, 2)) + self.place)
        return regions, *(key(regions) for key in self.keys)

    def read(self, tokens: Tensor, lengths: Tensor) -> Parts:
        """Padded questions (R, L) and their lengths (R,) → (R, state)."""
        return (
            torch.tanh(self.question(last_states([self.cell], self.embedding(tokens), lengths, self.cell.hidden_size))),
        )

    def attend(self, looked: Parts, read: Parts) -> tuple[Tensor, list[Tensor]]:
        """What the question and all hops together found (R, state), and where each looked (R, side²)."""
        regions, keys = looked[0], looked[1:]
        found, attentions = read[0], []
        for key, query, energy in zip(keys, self.queries, self.energies, strict=True):
            attention = energy(torch.tanh(key + query(found)[:, None]))[:, :, 0].softmax(dim=1)
            found = found + (attention[:, None].to(regions.dtype) @ regions)[:, 0]
            attentions.append(attention)
        return found, attentions

    def answer(self, looked: Parts, read: Parts) -> Tensor:
        """What all hops found, classified."""
        found, question = self.attend(looked, read)[0], read[0]
        if self.product:
            found = torch.cat([found, (found - question) * question], dim=1)
        scores: Tensor = self.output(self.dropout(found))
        return scores

    def attention(self, x: Tensor, questions: Sequence[str]) -> dict[str, Tensor]:
        """Where it looked to answer R questions: (R, side, side) of every hop."""
        _, attentions = self.attend(*self.put(x, *self.tokens(questions, x.device)))
        return {f"hop {i}": torch.unflatten(a, 1, (self.side, self.side)) for i, a in enumerate(attentions, start=1)}
