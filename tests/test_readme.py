"""Every Python block of the README runs, in order, in one namespace."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["maps"].shape == (3, 2, 14, 14)
    assert names["exp"].target == "dog"
    assert names["word"].heatmap.shape == (224, 224)
    assert (tmp_path / "out" / "strip.png").is_file()


@pytest.mark.parametrize(("page", "questions"), [("captions-and-answers", 15), ("neurons", 8), ("evaluation", 14)])
def test_every_line_of_a_page_runs(page, questions):
    text = (README.parent / "docs" / f"{page}.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    lines = re.findall(r"\? \| `(.*?)` \|", text)
    assert len(lines) >= questions
    for line in lines:
        assert eval(line, names), line


PAGES = [*README.parent.glob("*.md"), *README.parent.glob("docs/**/*.md"), *README.parent.glob("experiments/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(README.parent)))
def test_pictures_and_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)  # code has brackets of its own
    for path in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert path.startswith("http") or (page.parent / path).exists(), path
