"""CIDEr-D of single captions against the statistics of a fixed corpus: what self-critical training rewards.

Vedantam et al. 2015 (arXiv:1411.5726), the -D variant as pycocoevalcap computes it; that library weighs n-grams by the
references it is given with the captions, and a batch is no corpus. The end of a caption counts as a word, or captions
learn to stop in the middle of a sentence (Luo 2020, arXiv:2003.09971).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

N = 4
SIGMA = 6.0  # words of difference in length
END_WORD = "<end>"
Words = Sequence[str]


@dataclass(frozen=True)
class Weighed:
    """A caption: its n-grams with their weights, the length of that vector for each n, and its words less one."""

    weights: dict[tuple[str, ...], float]
    norms: tuple[float, ...]
    length: int


class CiderReward:
    """CIDEr-D, which is 10 for a caption that equals all its references.

    Args:
        references: those of each picture; their n-grams are weighed by how many pictures they describe.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        counts = [[grams(words) for words in own] for own in references]
        self.pictures = Counter(gram for own in counts for gram in set().union(*own))
        self.most = math.log(len(references))
        self.references = [[self.weighed(each) for each in own] for own in counts]

    def weighed(self, counts: Counter[tuple[str, ...]]) -> Weighed:
        """N-grams by how often they occur and in how few pictures."""
        weights = {gram: n * (self.most - math.log(max(1, self.pictures[gram]))) for gram, n in counts.items()}
        squares = [0.0] * N
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight**2
        return Weighed(weights, tuple(map(math.sqrt, squares)), sum(n for gram, n in counts.items() if len(gram) == 2))

    def __call__(self, words: Words, picture: int) -> float:
        """The score of a caption of one of the pictures."""
        said = self.weighed(grams(words))
        own = self.references[picture]
        return 10 * sum(likeness(said, reference) for reference in own) / len(own)


def grams(words: Words) -> Counter[tuple[str, ...]]:
    """The n-grams of a caption and its end, n from 1 to `N`."""
    words = [*words, END_WORD]
    return Counter(tuple(words[i : i + n]) for n in range(1, N + 1) for i in range(len(words) - n + 1))


def likeness(said: Weighed, reference: Weighed) -> float:
    """The mean over n of the clipped cosine, less where the lengths differ."""
    dots = [0.0] * N
    for gram, weight in said.weights.items():
        other = reference.weights.get(gram, 0.0)
        dots[len(gram) - 1] += min(weight, other) * other
    norms = zip(said.norms, reference.norms, strict=True)
    cosines = (dot / (a * b) if a and b else 0.0 for dot, (a, b) in zip(dots, norms, strict=True))
    return sum(cosines) / N * math.exp(-((said.length - reference.length) ** 2) / (2 * SIGMA**2))
