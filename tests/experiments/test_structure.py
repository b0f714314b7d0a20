"""Scripts stand alone: what two of them need lies in experiments/lib, which knows none of them; and files are short."""

import ast
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = ("train", "paper", "words", "checks", "pages")
LONGEST = 250
FILES = sorted(EXPERIMENTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file names in its imports, wherever in the file they stand."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_no_file_of_experiments_imports_a_script(path):
    scripts = tuple(f"experiments.{folder}" for folder in SCRIPTS)
    assert sorted(name for name in imported(path) if name.startswith(scripts)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXPERIMENTS)))
def test_files_are_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST
