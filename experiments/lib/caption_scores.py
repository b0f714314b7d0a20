"""What captions score beside people's: BLEU, CIDEr-D and, of vignettes, the share of true content words.

BLEU is COCO's (Papineni et al., BLEU, 2002, as `pycocoevalcap` counts it): a caption shorter than n words holds no
n-gram and adds none to what is divided by, where NLTK's counts one, and so gives less; an empty caption scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.truth import Truth
from mmcam.evaluation.uncertainty import bootstrap, mean

RESAMPLES, SEED = 1000, 0
BLEU: Final = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
Words = Sequence[str]


def scores(
    said: Sequence[Words], references: Sequence[Sequence[Words]], truths: Sequence[Truth] | None
) -> dict[str, dict[str, float]]:
    """Each score with its interval or standard error over pictures."""
    counts = bleu_counts(said, references)
    found = {
        name: vars(bootstrap(counts, partial(bleu_n, n), resamples=RESAMPLES, seed=SEED))
        for n, name in enumerate(BLEU, start=1)
    }
    found["CIDEr-D"] = vars(mean(cider(said, references)))
    if truths is not None:
        checked = [
            (i, word.correct)
            for i, (words, truth) in enumerate(zip(said, truths, strict=True))
            for word in vignettes.captions.check(" ".join(words), truth)
        ]
        found["true words"] = vars(mean([right for _, right in checked], [i for i, _ in checked]))
    return found


def bleu_counts(said: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[np.ndarray]:
    """What BLEU adds up over the captions, so that it can be taken of any of them without counting words anew.

    Returns:
        Ten numbers a caption: its words; those of the reference nearest in length; its n-grams, n = 1…4; and how many
        of them stand in its references.
    """
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    counts = []
    for words, own in zip(said, references, strict=True):
        read = cook_refs([" ".join(reference) for reference in own], eff="closest")
        of = cook_test(" ".join(words), read, eff="closest")
        counts.append(np.array([of["testlen"], of["reflen"], *of["guess"], *of["correct"]], dtype=np.float64))
    return counts


def bleu(counts: Sequence[np.ndarray]) -> list[float]:
    """BLEU-1…4 of a corpus of captions (see `bleu_counts`)."""
    written, nearest, *of_each_length = np.sum(counts, axis=0)
    ngrams, right = np.array(of_each_length).reshape(2, 4)
    if not written:
        return [0.0] * 4
    precisions = (right + 1e-15) / (ngrams + 1e-9)  # the small numbers are those of pycocoevalcap
    brevity = min(0.0, 1 - nearest / written)
    return [float(np.exp(np.log(precisions[:n]).mean() + brevity)) for n in (1, 2, 3, 4)]


def bleu_n(n: int, counts: Sequence[np.ndarray]) -> float:
    """One of the four."""
    return bleu(counts)[n - 1]


def cider(said: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """CIDEr-D of each caption; what a word weighs depends on the references of all of them."""
    from pycocoevalcap.cider.cider import Cider

    written = {i: [" ".join(words) for words in own] for i, own in enumerate(references)}
    _, each = Cider().compute_score(written, {i: [" ".join(words)] for i, words in enumerate(said)})
    return np.asarray(each)
