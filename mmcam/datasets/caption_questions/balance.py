"""Evens out answers, so that a question tells little of its answer.

Open questions: within a form ("what colour is the shirt") no answer is kept more often than the third most frequent.
Yes/no questions: as many of each within a form. Goyal et al. 2017 (arXiv:1612.00837) pair pictures to the same end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

import numpy as np

RANK: Final = 3
Asked = TypeVar("Asked")


def balanced(
    items: Sequence[Asked],
    form: Callable[[Asked], Hashable],
    answer: Callable[[Asked], str],
    rng: np.random.Generator,
    rank: int = RANK,
) -> list[Asked]:
    """Those that are kept, in the order given; forms with a single answer go altogether.

    Args:
        items: questions.
        form: of a question; within each, answers are evened out.
        answer: of a question.
        rng: chooses among those of an answer that is too frequent.
        rank: no answer is kept more often than the one of this rank is given.
    """
    forms: defaultdict[Hashable, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, item in enumerate(items):
        forms[form(item)][answer(item)].append(i)
    keep: list[int] = []
    for groups in forms.values():
        if len(groups) < 2:
            continue
        counts = sorted(map(len, groups.values()), reverse=True)
        most = counts[min(rank, len(counts)) - 1]
        for places in groups.values():
            keep += [places[i] for i in sorted(rng.permutation(len(places))[:most])]
    return [items[i] for i in sorted(keep)]


def supported(items: Sequence[Asked], answer: Callable[[Asked], str], least: int) -> set[str]:
    """The answers that are given at least `least` times."""
    return {name for name, n in Counter(map(answer, items)).items() if n >= least}
