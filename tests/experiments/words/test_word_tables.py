"""The tables of words and answers: errors by picture, from records written by hand."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from experiments.lib.judging import Judged
from experiments.lib.tables import with_error
from experiments.paper import layer_by_layer
from experiments.words import grounding_flags, own_attention, wrong_words


def record(picture, **known):
    usual = {"task": "word", "category": "colour", "said": "red", "right": True, "hit": True, "centre": False}
    usual |= {"chance": 0.1, "fell": "meant", "score": -1.0, "drop": 1.0}
    return Judged(picture=picture, **{**usual, **known})


def test_where_maxima_fell_with_errors_over_pictures():
    """Two words of picture 0 on the thing, two of picture 1 beside it: as sure as two words, not as four."""
    records = [record(0), record(0), record(1, fell="none"), record(1, fell="none")]
    row = wrong_words.summary("m", "colour", True, records)
    assert (row["n"], row["pictures"]) == (4, 2)
    assert row["meant"] == row["none"] == 0.5
    assert row["meant s.e."] == pytest.approx(math.sqrt(2 * 2) / 4)  # √(2/1 · (1² + 1²)) / 4
    assert row["empty"] == row["empty s.e."] == 0


def test_attention_agrees_and_aims():
    records = [
        record(0, own_agrees=0.2, own_hit=False),
        record(1, own_agrees=0.6, own_hit=True),
        record(2, own_agrees=0.4, hit=False, right=False),  # untrue: agrees, but aims at nothing
    ]
    row = own_attention.summary("m", "colour", records)
    assert (row["correlation"].n, row["pointing"].n) == (3, 2)
    assert row["correlation"].value == pytest.approx(0.4)
    assert row["correlation"].standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert (row["pointing"].value, row["attention"].value) == (1, 0.5)
    assert with_error(row["attention"], 100) == "50.0 ± 50.0"


def test_flags_find_untrue_words_within_an_interval():
    rng = np.random.default_rng(0)
    records = []
    for picture in range(40):
        for right in (True, False):
            drop = rng.normal(1.0 if right else 0.2, 0.5)
            records.append(record(picture, right=right, drop=drop, score=rng.normal()))
    row = grounding_flags.summary("m", "all", records)
    untrue, true = ([r.drop for r in records if r.right == right] for right in (False, True))
    expected = mannwhitneyu(true, untrue).statistic / 1600
    assert row["drop"]["value"] == pytest.approx(expected)
    assert row["drop"]["low"] < expected < row["drop"]["high"]
    # Hanley & McNeil's error of an area of two independent samples, of 40 each.
    error = (row["drop"]["high"] - row["drop"]["low"]) / (2 * 1.96)
    assert error == pytest.approx(math.sqrt(expected * (1 - expected) / 40), rel=0.5)
    assert row["log_prob"]["low"] < 0.5 < row["log_prob"]["high"]
    assert row["untrue"]["value"] == 0.5
    assert row["untrue"]["pictures"] == 40
    flagged = np.mean(np.array(untrue) < 0.5)
    assert row["untrue 0.5"]["value"] == pytest.approx(flagged)
    assert row["untrue 0.5"]["standard_error"] == pytest.approx(np.std(np.array(untrue) < 0.5, ddof=1) / math.sqrt(40))


def test_layers_say_how_many_maps_they_are_of():
    same = {("a", "b"): [0.2, float("nan"), 0.6]}
    row = layer_by_layer.row_of("b", "a", {"a": 14, "b": 14}, same, {"b": [True, False, True]})
    assert (row["pointing"]["n"], row["correlation"]["n"], row["correlation"]["undefined"]) == (3, 2, 1)
    assert row["correlation"]["value"] == pytest.approx(0.4)
    assert row["pointing"]["standard_error"] == pytest.approx(np.std([1, 0, 1], ddof=1) / math.sqrt(3))
