"""The reward is CIDEr-D of pycocoevalcap, for one caption at a time and with the corpus fixed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from experiments.lib.cider_reward import END_WORD, CiderReward

CAPTION = st.lists(st.sampled_from(["a", "the", "dog", "cat", "runs", "red", "on", "grass"]), min_size=1, max_size=9)
CORPUS = st.lists(st.lists(CAPTION, min_size=1, max_size=3), min_size=2, max_size=6)


@given(CORPUS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_caption_scores_as_in_pycocoevalcap(corpus: list[list[list[str]]], data: st.DataObject) -> None:
    said = [data.draw(CAPTION) for _ in corpus]
    reward = CiderReward(corpus)
    ended = {i: [" ".join([*words, END_WORD]) for words in own] for i, own in enumerate(corpus)}
    _, each = Cider().compute_score(ended, {i: [" ".join([*words, END_WORD])] for i, words in enumerate(said)})
    assert [reward(words, i) for i, words in enumerate(said)] == pytest.approx(list(each), abs=1e-9)


def test_a_caption_that_stops_in_the_middle_scores_less() -> None:
    corpus = [[["a", "dog", "runs", "on", "the", "grass"]], [["a", "cat"]], [["the", "red", "cat"]]]
    reward = CiderReward(corpus)
    whole, cut = ["a", "dog", "runs", "on", "the", "grass"], ["a", "dog", "runs", "on", "the"]
    assert reward(whole, 0) == pytest.approx(10)
    assert reward(cut, 0) < reward(whole, 0)
    assert reward([], 0) >= 0
