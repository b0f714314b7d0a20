"""The notebooks run from the first cell to the last, and what they hold is what such a run showed."""

import json

import nbformat
import pytest

from experiments.lib.notebooks import FOLDER, ROOT, run, small

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = ("8-", "9-")
"""The beginnings of those that every run of the tests executes."""


def names(paths, quick):
    """The notebooks as parameters; those that take longer are long."""
    return [
        pytest.param(path, id=path.stem, marks=() if path.name.startswith(quick) else pytest.mark.long)
        for path in paths
    ]


def test_they_are_there_and_in_the_index():
    listed = (FOLDER / "README.md").read_text()
    assert len(NOTEBOOKS) >= 9
    for path in NOTEBOOKS:
        assert f"({path.name})" in listed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_is_small_whole_and_of_one_run(path):
    assert path.stat().st_size < 300_000
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert "execute_result" in kinds
    text = path.read_text()
    assert not any(found in text for found in ("/tmp/", f"{ROOT.parent}/", "\\u001b"))


@pytest.mark.slow
@pytest.mark.parametrize("path", names(NOTEBOOKS, QUICK))
def test_it_runs(path):
    made, kept = small(run(path)), nbformat.read(path, as_version=4)
    assert [cell.source for cell in made.cells] == [cell.source for cell in kept.cells]
    assert shown(made) == shown(kept)


def shown(notebook):
    """Of each cell the kinds of what it shows; figures differ from machine to machine in their last digits."""
    return [
        sorted({json.dumps(sorted(output.get("data", {"text": ""}))) for output in cell.get("outputs", ())})
        for cell in notebook.cells
    ]
