"""What captions score beside people's: BLEU, CIDEr-D and, of vignettes, the share of true content words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from nltk.translate.bleu_score import corpus_bleu

from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.truth import Truth
from mmcam.evaluation.uncertainty import bootstrap, mean

RESAMPLES, SEED = 40, 0
BLEU: Final = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
Words = list[str]


def scores(
    said: Sequence[Words], references: Sequence[Sequence[Words]], truths: Sequence[Truth] | None
) -> dict[str, dict[str, float]]:
    """Each score with its interval or standard error over pictures."""
    from pycocoevalcap.cider.cider import Cider

    pairs = list(zip(references, said, strict=True))
    found = {
        name: vars(bootstrap(pairs, partial(bleu, n=n), resamples=RESAMPLES, seed=SEED))
        for n, name in enumerate(BLEU, start=1)
    }
    written = {i: [" ".join(words) for words in own] for i, own in enumerate(references)}
    _, each = Cider().compute_score(written, {i: [" ".join(words)] for i, words in enumerate(said)})
    found["CIDEr-D"] = vars(mean(each))
    if truths is not None:
        checked = [
            (i, word.correct)
            for i, (words, truth) in enumerate(zip(said, truths, strict=True))
            for word in vignettes.captions.check(" ".join(words), truth)
        ]
        found["true words"] = vars(mean([right for _, right in checked], [i for i, _ in checked]))
    return found


def bleu(pairs: Sequence[tuple[Sequence[Words], Words]], n: int) -> float:
    """NLTK's corpus BLEU-n of (references, caption) pairs."""
    references, said = zip(*pairs, strict=True)
    return float(corpus_bleu(references, said, weights=(1 / n,) * n))
