"""A world with a spurious pair: cats and dogs beside an umbrella or a flower, as doctors and nurses of one gender are.

The Grad-CAM paper's pictures showed 78 % of the doctors as men and 93 % of the nurses as women (arXiv 1610.02391,
section 6.3). Here 78 % of the dogs stand beside a flower, and 93 % of the cats beside an umbrella; in the rebalanced
set, as large, and in the test set each stands beside either as often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from mmcam.datasets import vignettes

ANIMALS: Final = ("cat", "dog")
COMPANIONS: Final = ("umbrella", "flower")
Pair = tuple[str, str]
"""An animal and what stands beside it."""

SHARES: Final[Mapping[Pair, float]] = {
    ("cat", "umbrella"): 0.93,
    ("cat", "flower"): 0.07,
    ("dog", "umbrella"): 0.22,
    ("dog", "flower"): 0.78,
}
"""Of the pictures of an animal in the biased set."""


def found(split: str, each: int) -> dict[Pair, list[int]]:
    """The first so many seeds of a split for each pair: pictures with one animal and one companion, and what else."""
    seeds: dict[Pair, list[int]] = {(animal, beside): [] for animal in ANIMALS for beside in COMPANIONS}
    index = 0
    while min(map(len, seeds.values())) < each:
        seed = vignettes.seed(split, index)
        index += 1
        kinds = [thing.kind for thing in vignettes.describe(seed).things]
        animals = [kind for kind in kinds if kind in ANIMALS]
        companions = [kind for kind in kinds if kind in COMPANIONS]
        if len(animals) == len(companions) == 1 and len(own := seeds[animals[0], companions[0]]) < each:
            own.append(seed)
    return seeds


def training(seeds: Mapping[Pair, Sequence[int]], count: int, biased: bool, draw: int) -> dict[Pair, list[int]]:
    """A training set of `count` pictures of each animal, biased or balanced.

    Args:
        seeds: to take from.
        draw: another number takes others.

    Raises:
        ValueError: there are not so many.
    """
    random = Random(draw)
    return {
        pair: random.sample(list(own), round(count * (SHARES[pair] if biased else 0.5))) for pair, own in seeds.items()
    }
