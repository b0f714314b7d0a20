"""A table in its forms: for reading, and for other programs."""

import csv
import io
import json

import pytest

from experiments.lib.export import comma_separated, latex, parts_of
from experiments.lib.stamp import line_of, stamp
from experiments.lib.tables import Part, show, show_parts, with_count, with_error
from mmcam.evaluation import Interval, mean


def test_writes_the_report_its_rows_and_the_table(tmp_path, capsys):
    rows = [{"method": "gradcam", "error": {"value": 0.25, "low": 0.125}}]
    report = {**stamp("python -m x", pictures=4), "rows": rows}
    show(tmp_path / "t", report, ["method", "error %"], [["gradcam", "25.0 ± 1"]], ["above"], ["", "below"])
    assert json.loads((tmp_path / "t.json").read_text()) == report
    assert (tmp_path / "t.md").read_text().splitlines() == [
        "above", "", "| method | error % |", "|---|---|", "| gradcam | 25.0 ± 1 |", "", "below", "", line_of(report),
    ]  # fmt: skip
    assert "25.0" in capsys.readouterr().out
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md"]


def test_a_page_gives_its_tables_back(tmp_path):
    parts = [Part("One:", ["a", "b ± s.e."], [["1", ""], ["", "2 ± 1"]]), Part("Two:", ["c"], [["`x`"]])]
    show_parts(tmp_path / "t", {**stamp("python -m x"), "rows": []}, parts, ["above"], ["", "below"])
    found = parts_of((tmp_path / "t.md").read_text())
    assert found == [Part("", part.head, part.rows) for part in parts]


def test_rows_as_csv():
    rows = [{"method": "gradcam", "error": {"value": 0.25, "low": 0.125}}]
    assert comma_separated(rows) == "method,error.value,error.low\ngradcam,0.25,0.125\n"


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


def test_bounds_and_signs_as_asked():
    assert with_error(Interval(0.5, 0.25, 0.75), 100, bounds=0) == "50.0 (25–75)"
    assert with_error({"value": None, "low": None, "high": None}, 100, bounds=0) == ""
    assert with_error({"value": 0.5, "low": None, "high": None}, 100, bounds=0) == "50.0"
    assert with_error(mean([1, 2]), sign="+") == "+1.5 ± 0.5"


def test_how_many_are_left_is_said_where_some_are_not():
    assert with_count(mean([0.0, 1.0, float("nan")]), 2) == "0.50 ± 0.50 (2)"
    assert with_count(mean([0.0, 1.0]), 2) == "0.50 ± 0.50"
    assert with_count(None) == ""


def test_what_has_no_stamp_is_not_written(tmp_path):
    with pytest.raises(KeyError):
        show(tmp_path / "t", {"command": "python -m x", "rows": []}, ["a"], [["1"]], [])
    assert list(tmp_path.iterdir()) == []
