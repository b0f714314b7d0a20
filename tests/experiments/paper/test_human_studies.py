"""The paper's two studies: the verdict follows from the intervals, and the table has the figures of the answers."""

import json

import pytest
import torch
from made_study import answered, made
from torch import nn

from experiments.paper import human_studies
from mmcam.evaluation.uncertainty import Interval
from mmcam.studies.analysis import Analysis, Difference
from mmcam.studies.design import read_design


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((0.2, 0.1, 0.3), "the first is better, as published"),
        ((-0.2, -0.3, -0.1), "the other way round than published"),
        ((0.1, -0.1, 0.3), "on these items the first is better, as published; over other items"),
        ((-0.1, -0.3, 0.1), "on these items the second is better"),
    ],
)
def test_verdicts(interval, says):
    gap = Difference("guided_gradcam", "guided_backprop", Interval(*interval), 0.5, None, 0.5)
    (line,) = human_studies.verdicts("trust", Analysis(True, 2, 2, (), (gap,), 0.5, "ordinal", 2, ()))
    assert says in line


def test_the_table_has_the_figures_of_simulated_raters(tmp_path, monkeypatch):
    def built(order, folder, tell):
        made(folder, kind=order.kind, methods=order.methods, items=4)

    def took_part(folder, eyes, count, tell):
        design = read_design(folder)
        choose = lambda rater, trial: 0 if design.kind == "trust" else trial.truth  # noqa: E731
        answered(folder, design, count, choose, source="simulated")

    monkeypatch.setattr(human_studies, "build", built)
    monkeypatch.setattr(human_studies, "simulate", took_part)
    monkeypatch.setattr(human_studies.models, "load", lambda name: nn.Sequential(nn.Conv2d(3, 2, 3)))
    human_studies.main(4, 2, 0.1, 8, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "human-studies.json").read_text())
    assert [one["figure"]["value"] for one in report["rows"]] == [1.0] * 4 + [2.0] * 2
    assert {one["raters"] for one in report["rows"]} == {"simulated"}
    assert report["trust"]["simulated"] is True
    assert "8 simulated raters" in (tmp_path / "out" / "human-studies.md").read_text()


def test_a_worn_model_is_another_one_and_the_same_each_time(monkeypatch):
    monkeypatch.setattr(human_studies.models, "load", lambda name: _network())
    first, again = human_studies.worn_copy(0.3), human_studies.worn_copy(0.3)
    assert torch.equal(first[0].weight, again[0].weight)
    change = (first[0].weight - _network()[0].weight).std() / _network()[0].weight.std()
    assert float(change.detach()) == pytest.approx(0.3, rel=0.1)


def _network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 64, 5))
