"""`vignette-hiecoatt-…`: hierarchical question-image co-attention (Lu et al. 2016, arXiv:1606.00061).

Picture and question attend to each other at three levels of the question: its words, its phrases (convolutions over
one, two and three words, the strongest at each place), and the whole (an LSTM over the phrases). *Parallel*: an
affinity of all words with all regions guides both attentions at once (equations 3-5). *Alternating*: the question is
summed up, its sum guides the look at the picture, what was seen there guides a second look at the question (equation
6). The answer is built up from the levels (equation 7). As published but for two things: the regions are 7×7 maxima
over 2×2 places, a quarter of the work, and have a bias each, so that attention can also say where.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .answerer import PAD, Answerer
from .encoder import Features, features
from .speaker import Parts, remember

LEVELS = ("word", "phrase", "question")


class Parallel(nn.Module):
    """Both attentions of a level at once, guided by the affinity of every word with every region."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.affinity = nn.Linear(width, width, bias=False)
        self.region, self.word = nn.Linear(width, width), nn.Linear(width, width)
        self.region_energy, self.word_energy = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, regions: Tensor, words: Tensor, silent: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, M, width), words (R, L, width), true at padding (R, L) → attentions (R, M) and (R, L)."""
        affinity = torch.tanh(self.affinity(words) @ regions.transpose(1, 2)).masked_fill(silent[:, :, None], 0)
        of_regions, of_words = self.region(regions), self.word(words)
        by_region = torch.tanh(of_regions + affinity.transpose(1, 2) @ of_words)
        by_word = torch.tanh(of_words + affinity @ of_regions)
        energy = self.word_energy(by_word)[:, :, 0].masked_fill(silent, -torch.inf)
        return self.region_energy(by_region)[:, :, 0].softmax(dim=1), energy.softmax(dim=1)


class Alternating(nn.Module):
    """Words, then regions guided by them, then words guided by what was seen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.guides = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.energies = nn.ModuleList(nn.Linear(width, 1) for _ in range(3))

    def forward(self, regions: Tensor, words: Tensor, silent: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (R, M, width), words (R, L, width), true at padding (R, L) → attentions (R, M) and (R, L)."""
        energy = self.energies[0](torch.tanh(self.inputs[0](words)))[:, :, 0].masked_fill(silent, -torch.inf)
        summary = weighted(energy.softmax(dim=1), words)
        energy = self.energies[1](torch.tanh(self.inputs[1](regions) + self.guides[0](summary)[:, None]))[:, :, 0]
        attention = energy.softmax(dim=1)
        found = weighted(attention, regions)
        energy = self.energies[2](torch.tanh(self.inputs[2](words) + self.guides[1](found)[:, None]))[:, :, 0]
        return attention, energy.masked_fill(silent, -torch.inf).softmax(dim=1)


class HieCoAtt(Answerer):
    """Encoder's map and question at three levels → co-attention of each → scores of the answers.

    Args:
        vocabulary: the words of questions it knows.
        answers: what it can answer.
        coattention: "parallel" or "alternating".
        width: of words, phrases, questions and regions.
        dropout: while training.
        encoder: from pictures to maps; default the bundled models' own.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        answers: Sequence[str],
        *,
        coattention: Literal["parallel", "alternating"] = "parallel",
        width: int = 224,
        dropout: float = 0.5,
        encoder: Features | None = None,
    ) -> None:
        super().__init__(vocabulary, answers)
        self.features = features() if encoder is None else encoder
        self.preprocess = self.features.preprocess
        self.pool = nn.MaxPool2d(2)
        self.side = self.features.side // 2
        self.region = nn.Linear(self.features.units, width)
        self.place = nn.Parameter(torch.zeros(self.side**2, width))
        self.embedding = nn.Embedding(len(self.vocabulary) + 2, width)
        self.phrases = nn.ModuleList(nn.Conv1d(width, width, n, padding=n // 2) for n in (1, 2, 3))
        self.cell = nn.LSTMCell(width, width)
        remember(self.cell)
        kind = {"parallel": Parallel, "alternating": Alternating}[coattention]
        self.levels = nn.ModuleList(kind(width) for _ in LEVELS)
        self.build = nn.ModuleList(nn.Linear(width if level == 0 else 2 * width, width) for level in range(3))
        self.output = nn.Linear(width, len(self.answers))
        self.dropout = nn.Dropout(dropout)

    def see(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) → the greatest values of 2×2 places of the map, (N, units, side, side)."""
        maps: Tensor = self.pool(self.features(x))
        return maps

    def look(self, seen: Tensor) -> Parts:
        """The regions (N, side², width)."""
        return (self.dropout(torch.tanh(self.region(seen.flatten(2).transpose(1, 2)) + self.place)),)

    def read(self, tokens: Tensor, lengths: Tensor) -> Parts:
        """Padded questions (R, L) → words, phrases and question up to each word, (R, L, width) each; padding (R, L)."""
        silent = tokens.eq(PAD)
        words = torch.tanh(self.embedding(tokens)).masked_fill(silent[:, :, None], 0)
        # A window of two looks at the word before; the window's overhang on the right is cut off.
        windows = [window(words.transpose(1, 2))[:, :, : tokens.shape[1]] for window in self.phrases]
        phrases = torch.tanh(torch.stack(windows).amax(0)).transpose(1, 2)
        state: tuple[Tensor, Tensor] | None = None
        sentence = []
        for phrase in phrases.unbind(1):
            state = self.cell(phrase, state)
            sentence.append(state[0])
        return self.dropout(words), self.dropout(phrases), self.dropout(torch.stack(sentence, dim=1)), silent

    def attend(self, looked: Parts, read: Parts) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """What all levels found (R, width), and the attentions of each to regions (R, side²) and words (R, L)."""
        (regions,), (*levels, silent) = looked, read
        regions = regions.expand(len(silent), -1, -1)
        attentions = []
        found = regions.new_zeros(len(silent), 0)
        for words, coattend, build in zip(levels, self.levels, self.build, strict=True):
            to_regions, to_words = coattend(regions, words, silent)
            both = weighted(to_regions, regions) + weighted(to_words, words)
            found = torch.tanh(build(self.dropout(torch.cat([both, found], dim=1))))
            attentions.append((to_regions, to_words))
        return found, attentions

    def answer(self, looked: Parts, read: Parts) -> Tensor:
        """What all levels found, classified."""
        scores: Tensor = self.output(self.dropout(self.attend(looked, read)[0]))
        return scores

    def attention(self, x: Tensor, questions: Sequence[str]) -> dict[str, Tensor]:
        """Where it looked to answer R questions: (R, side, side) of every level."""
        _, attentions = self.attend(*self.put(x, *self.tokens(questions, x.device)))
        maps = [torch.unflatten(to_regions, 1, (self.side, self.side)) for to_regions, _ in attentions]
        return dict(zip(LEVELS, maps, strict=True))


def weighted(attention: Tensor, values: Tensor) -> Tensor:
    """The sum of values (R, M, width), weighted by (R, M): (R, width)."""
    return (attention[:, None].to(values.dtype) @ values)[:, 0]
