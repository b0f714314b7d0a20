"""The order of rows behind a layer, against loops."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcam.engine.rows import Rows

counts = st.integers(1, 4)


@given(counts, counts, counts)
def test_texts_are_spread_in_the_order_of_loops(pictures, texts, repeats):
    rows = Rows(pictures, texts, repeats)
    entries = [(text, picture) for text in range(texts) for picture in range(pictures)]
    expected = [(text, picture) for text in range(texts) for _ in range(repeats) for picture in range(pictures)]
    assert rows.spread(entries) == expected
    assert rows.spread_tensor(torch.tensor(entries)).tolist() == [list(entry) for entry in expected]
    assert len(rows) == len(expected)


@given(counts, counts, counts)
def test_each_repeat_gets_its_rows_back_through_any_structure(pictures, texts, repeats):
    rows = Rows(pictures, texts, repeats)
    order = [
        (text, repeat, picture) for text in range(texts) for repeat in range(repeats) for picture in range(pictures)
    ]
    output = {"logits": torch.tensor(order), "loss": torch.tensor(3.0), "more": [(torch.arange(len(order)),)]}
    blocks = rows.blocks(output)
    assert len(blocks) == repeats
    for repeat, block in enumerate(blocks):
        own = [row for row in order if row[1] == repeat]
        assert block["logits"].tolist() == [list(row) for row in own]
        assert [order[i] for i in block["more"][0][0].tolist()] == own
        assert block["loss"] == 3


def test_what_has_other_rows_is_left_whole():
    rows = Rows(2, repeats=3)
    (first, *_) = rows.blocks((torch.zeros(6, 1), torch.zeros(5, 1)))
    assert [len(part) for part in first] == [2, 5]


@given(counts, counts, counts)
def test_pictures_stand_under_each_text(pictures, texts, repeats):
    rows = Rows(pictures, texts, repeats)
    x = torch.arange(repeats * pictures)
    assert rows.per_text(x).tolist() == x.tolist() * texts
    assert len(rows.per_text(x)) == len(rows)
