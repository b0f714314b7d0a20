"""The table of the paper says what the results say."""

import json

import pytest
import typer

from experiments.lib import measured
from experiments.pages import paper


def test_the_table_in_the_readme_is_the_one_of_the_results():
    text = paper.README.read_text()
    assert paper.table() in text, "run python -m experiments.pages.paper"


def test_a_new_table_replaces_the_old_one_and_nothing_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{paper.BEGIN}\nold\n{paper.END}\nbelow\n")
    paper.main(readme)
    assert readme.read_text() == f"above\n{paper.BEGIN}\n\n{paper.table()}\n\n{paper.END}\nbelow\n"
    readme.write_text("no marks")
    with pytest.raises(typer.BadParameter, match="lacks the marks"):
        paper.main(readme)
    assert readme.read_text() == "no marks"


def test_figures_come_with_their_errors_or_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    rows = [
        {"method": "a", "plain": 0.5, "error": {"value": 0.25, "standard_error": 0.01}, "mean": 2.0, "mean s.e.": 0.5},
        {"method": "b", "plain": 1, "error": {"value": 0.5, "low": 0.4, "high": 0.61}},
        {"method": "b", "plain": 2},
    ]
    (tmp_path / "t.json").write_text(json.dumps({"rows": rows}))
    measured.rows.cache_clear()
    assert measured.cell("t", "plain", method="a") == "50.0"
    assert measured.cell("t", "error", method="a") == "25.0 ± 1.0"
    assert measured.cell("t", "mean", 1, 2, method="a") == "2.00 ± 0.50"
    assert measured.cell("t", "error", method="b", plain=1) == "50.0 (40–61)"
    with pytest.raises(KeyError, match="2 rows"):
        measured.cell("t", "plain", method="b")
    with pytest.raises(typer.BadParameter, match="run the experiment that writes it"):
        measured.rows("missing")
    measured.rows.cache_clear()
