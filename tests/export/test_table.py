"""The table's rows are the explanations, in order; its metrics are those counted by hand."""

import builtins
import json

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from tiny import VQA, Captioner, seeded

import mmcam
from mmcam import ExplainError, Explanation, Geometry
from mmcam.export.table import records
from mmcam.files import json_text


def explanation(values, target="dog", **fields):
    """Over a picture of the map's size."""
    values = torch.as_tensor(values, dtype=torch.float32)
    h, w = values.shape
    known = {"score": 1.5, "layer": "layer4", "method": "gradcam", "model": "Net", "weights": None}
    return Explanation(
        target, values=values, image=Image.new("RGB", (w, h)), geometry=Geometry((h, w), (h, w)), **(known | fields)
    )


def square(left, top, right, bottom, shape=(8, 10)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def test_a_row_is_an_explanation(picture):
    caption = mmcam.explain_caption(seeded(Captioner), picture)
    question = mmcam.explain_answer(seeded(VQA), picture, "what is on the grass", by_word=True)
    single = explanation(square(2, 1, 5, 4), note="A note.")
    frame = mmcam.table([caption, [question, single]])
    every = [*caption, caption.whole, *question, question.answer, single]
    assert frame["target"].tolist() == [exp.target for exp in every]
    assert frame["score"].tolist() == [exp.score for exp in every]
    assert frame["kind"].tolist() == ["word"] * 6 + ["caption"] + ["word"] * 5 + ["answer", "target"]
    assert frame["result"].tolist() == [0] * 7 + [1] * 6 + [2]
    assert frame["position"].dropna().tolist() == [*range(6), *range(5)]
    last = frame.iloc[-1]
    assert (last.x, last.y) == single.peak()
    assert (last.left, last.top, last.right, last.bottom) == (2, 1, 5, 4)
    assert last.note == "A note."
    assert len(mmcam.table(single)) == 1


def test_metrics_by_hand():
    hot = square(2, 1, 6, 5).astype(np.float32)
    hot[2, 3] = 2  # the peak
    rows = [explanation(hot), explanation(hot), explanation(hot), explanation(np.zeros((8, 10))), explanation(hot)]
    truth = [square(2, 1, 6, 5), square(4, 1, 8, 5), square(4, 2, 5, 3), square(0, 0, 2, 2), None]
    frame = mmcam.table(rows, truth=truth)
    assert frame["pointing"].tolist()[:4] == [True, False, False, False]
    assert frame["iou"].tolist()[:4] == pytest.approx([1, 8 / 24, 1 / 16, 0])
    assert pandas.isna(frame["pointing"].iloc[4])
    assert pandas.isna(frame["iou"].iloc[4])
    near = mmcam.table(rows[2], truth=truth[2:3], tolerance=1)
    assert near["pointing"].tolist() == [True]


def test_it_is_written_as_csv_latex_markdown_and_json(tmp_path):
    frame = mmcam.table([explanation(np.zeros((8, 10)), "a & b, “c”", score=float("nan"))])
    frame.to_csv(tmp_path / "t.csv", index=False)
    back = pandas.read_csv(tmp_path / "t.csv")
    assert back["target"].tolist() == ["a & b, “c”"]
    assert back[["x", "left", "score"]].isna().all(axis=None)
    assert "target" in frame.to_latex(escape=True)
    assert "| target" in frame.to_markdown(index=False)
    (row,) = json.loads(json_text(records(explanation(np.zeros((8, 10)), score=float("inf")))))
    assert row["score"] is row["x"] is row["left"] is None


def test_what_makes_no_table_is_one_sentence(monkeypatch):
    one = explanation(np.eye(8))
    with pytest.raises(ExplainError, match="nothing to tell"):
        mmcam.table([])
    with pytest.raises(ExplainError, match=r"There are 1 rows, .* and 2 masks"):
        mmcam.table(one, truth=[None, None])
    with pytest.raises(ExplainError, match="The mask of 'dog' is 8×10, and its picture 8×8"):
        mmcam.table(one, truth=[square(0, 0, 1, 1)])
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ExplainError, match=r"pip install 'mmcam\[tables\]'"):
        mmcam.table(one)


def test_a_picture_that_was_skipped_has_no_row_and_keeps_its_number(tmp_path):
    results = mmcam.Explanations([explanation(np.eye(8)), mmcam.PictureError("broken"), explanation(np.eye(8))])
    assert mmcam.table(results)["result"].tolist() == [0, 2]
    html = results.html(tmp_path / "page.html", labels=["a", "b", "c"]).read_text()
    assert [label in html for label in (" · a", " · b", " · c")] == [True, False, True]
