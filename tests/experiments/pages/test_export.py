"""Tables on demand, and a folder of results that holds nothing that can be made on demand."""

import csv
import io
import json

import pytest
import typer

from experiments.lib.sheets import LARGEST
from experiments.pages import export


def test_every_committed_table_can_be_exported(tmp_path):
    names = sorted(path.stem for path in export.RESULTS.glob("*.json"))
    for format in export.Format:
        export.main(None, format, tmp_path)
        assert sorted(path.stem for path in tmp_path.glob(f"*.{format}")) == names
    for name in names:
        rows = json.loads((export.RESULTS / f"{name}.json").read_text())["rows"]
        assert len(list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text())))) == len(rows)
        assert r"\toprule" in (tmp_path / f"{name}.tex").read_text()


def test_a_table_has_the_figures_of_its_report_and_the_cells_of_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "RESULTS", tmp_path)
    rows = [{"method": "gradcam", "error": {"value": 0.25, "low": None}}, {"method": "random", "n": [1, 2]}]
    (tmp_path / "t.json").write_text(json.dumps({"command": "python -m x", "rows": rows}))
    (tmp_path / "t.md").write_text("`x`\n\n| a | 5 % |\n|---|---:|\n| b |  |\n\nbelow | it\n\n| c |\n|---|\n| d |\n")
    export.main(["t"], out=tmp_path / "out")
    text = (tmp_path / "out" / "t.csv").read_text()
    assert text == 'method,error.value,error.low,n\ngradcam,0.25,,\nrandom,,,"[1, 2]"\n'
    export.main(["t"], export.Format.tex, tmp_path / "out")
    first, second = (tmp_path / "out" / "t.tex").read_text().split("\n\n")
    assert [line.split() for line in first.splitlines() if "&" in line] == [
        ["a", "&", r"5", r"\%", r"\\"], ["b", "&", r"\\"],
    ]  # fmt: skip
    assert second.startswith("% needs \\usepackage{booktabs}\n\\begin{tabular}{l}")
    with pytest.raises(typer.BadParameter, match="no table 'none'"):
        export.main(["none"], out=tmp_path / "out")


def test_results_are_reports_pages_and_small_pictures():
    for path in export.RESULTS.iterdir():
        assert path.suffix in (".json", ".md", ".png", ".webp", ".jpg"), f"{path}: is it made on demand?"
        if path.suffix not in (".json", ".md"):
            assert path.stat().st_size <= LARGEST, path
