"""A table in its four forms."""

import csv
import io
import json

import pytest

from experiments.lib.tables import comma_separated, latex, show, with_error
from mmcam.evaluation import Interval, mean


def test_writes_the_report_its_rows_and_the_table(tmp_path, capsys):
    report = {"command": "python -m x", "rows": [{"method": "gradcam", "error": {"value": 0.25, "low": 0.125}}]}
    show(tmp_path / "t", report, ["method", "error %"], [["gradcam", "25.0 ± 1"]], ["above"], ["", "below"])
    assert json.loads((tmp_path / "t.json").read_text()) == report
    assert (tmp_path / "t.csv").read_text() == "method,error.value,error.low\ngradcam,0.25,0.125\n"
    assert (tmp_path / "t.md").read_text().splitlines() == [
        "above", "", "| method | error % |", "|---|---|", "| gradcam | 25.0 ± 1 |", "", "below",
    ]  # fmt: skip
    assert "25.0" in capsys.readouterr().out
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json", ".md", ".tex"]


def test_csv_has_every_rows_figures_and_is_read_back_whole():
    rows = [{"a": 1, "b": {"c": None}}, {"a": 'with , and "', "d": [1, 2]}]
    read = list(csv.DictReader(io.StringIO(comma_separated(rows))))
    assert read == [{"a": "1", "b.c": "", "d": ""}, {"a": 'with , and "', "b.c": "", "d": "[1, 2]"}]


def test_latex_escapes_what_it_cannot_take():
    made = latex(["a_b ↑", "%"], [["~1 & 2", "α ± 3 $"], ["", r"\x"]])
    lines = [line.strip() for line in made.splitlines()]
    assert lines[1] == r"\begin{tabular}{ll}"
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    for escaped in (r"a\_b", r"\%", r"{\textasciitilde}1 \& 2", r"\ensuremath{\alpha} \ensuremath{\pm} 3 \$"):
        assert escaped in made
    assert made.isascii()
    with pytest.raises(ValueError):
        latex(["\ue000"], [])


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (mean([0, 1]), "50.0 ± 50.0"),
        (vars(mean([0, 1])), "50.0 ± 50.0"),
        (Interval(0.5, 0.25, 0.75), "50.0 (25.0–75.0)"),
        (mean([0.5]), "50.0"),  # one picture alone
        (mean([]), ""),
        (None, ""),
    ],
)
def test_a_figure_with_what_it_may_be_off(figure, text):
    assert with_error(figure, 100) == text
