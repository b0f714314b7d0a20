"""BLEU beside COCO's own, its sums over resampled captions, and the captions that are too short for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu
from pycocoevalcap.bleu.bleu import Bleu

from experiments.lib.caption_scores import BLEU, bleu, bleu_counts, scores
from experiments.lib.caption_training import language_scores

WORDS = st.lists(st.sampled_from("abc"), max_size=7)
DOG = ["a", "dog", "runs", "on", "grass"]
CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=6)


def coco(said, references):
    """BLEU-1…4 by COCO's own evaluation."""
    written = {i: [" ".join(words) for words in own] for i, own in enumerate(references)}
    found, _ = Bleu(4).compute_score(written, {i: [" ".join(words)] for i, words in enumerate(said)}, verbose=0)
    return found


@given(CORPUS)
def test_bleu_is_cocos_of_captions_of_every_length_and_of_empty_ones(corpus):
    said, references = zip(*corpus, strict=True)
    assert bleu(bleu_counts(said, references)) == pytest.approx(coco(said, references), rel=1e-6, abs=1e-12)


@given(CORPUS, st.randoms())
def test_resampled_counts_give_the_bleu_of_the_resampled_captions(corpus, random):
    rows = random.choices(range(len(corpus)), k=len(corpus))
    counts = bleu_counts(*zip(*corpus, strict=True))
    anew = bleu_counts(*zip(*(corpus[row] for row in rows), strict=True))
    assert bleu([counts[row] for row in rows]) == bleu(anew)


def test_a_caption_shorter_than_four_words_takes_nothing_from_the_longer_ones():
    references = [[DOG], [["dogs"]]]
    assert bleu(bleu_counts([DOG, ["dogs"]], references)) == pytest.approx([1, 1, 1, 1])
    assert corpus_bleu(references, [DOG, ["dogs"]]) == pytest.approx((1 * 4 / 5 * 3 / 4 * 2 / 3) ** (1 / 4)), "NLTK's"


@pytest.mark.parametrize("reference", [DOG, []])
def test_an_empty_caption_scores_0(reference):
    assert bleu(bleu_counts([[]], [[reference]])) == [0, 0, 0, 0]


def test_an_empty_caption_counts_among_the_others():
    found = language_scores([" ".join(DOG), ""], [[DOG], [DOG]])
    assert found["BLEU-1"] == pytest.approx(np.exp(1 - 10 / 5)), "five words where ten were due"


def test_training_and_tables_give_one_figure_and_its_interval_holds_it():
    said = ["a dog runs on grass", "two dogs sleep", "a boy in a blue shirt"]
    words = [text.split() for text in said]
    references = [[["a", "dog", "runs", "on", "the", "grass"]], [words[0], ["two", "cats", "sleep"]], [words[2]]]
    table = scores(words, references, None)
    trained = language_scores(said, references)
    for name in BLEU:
        assert table[name]["value"] == trained[name]
        assert table[name]["low"] <= table[name]["value"] <= table[name]["high"]
    assert table["CIDEr-D"]["value"] == pytest.approx(trained["CIDEr"])
