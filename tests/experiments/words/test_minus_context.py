"""Maps less their context: the table says what the maps say."""

import json

import pytest

from experiments.words import minus_context


@pytest.mark.slow
def test_the_table_is_a_mean_of_its_words(tmp_path):
    minus_context.main(pictures=2, only=["vignette-captioner"], methods="layercam", out=tmp_path)
    (row,) = json.loads((tmp_path / "minus-context-test.json").read_text())["rows"]
    assert 0 <= row["minus_context"]["value"] <= 1
    assert row["gain"]["value"] == pytest.approx(row["minus_context"]["value"] - row["own"]["value"])
    assert "| vignette-captioner | layercam |" in (tmp_path / "minus-context-test.md").read_text()


def test_shares_are_clustered_by_picture():
    ways = dict.fromkeys((*minus_context.WAYS, "empty", "unchanged"), False)
    found = [{"picture": 0, **ways, "own": True}] * 2 + [{"picture": 1, **ways}]
    row = minus_context.summary(found)
    assert row["own"] == {"value": 2 / 3, "standard_error": pytest.approx(4 / 9), "n": 3, "pictures": 2, "undefined": 0}
    assert row["gain"]["value"] == -2 / 3
