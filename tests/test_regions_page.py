"""Every line of the page on regions and boxes runs."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "regions-and-boxes.md"


def test_every_line_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert (tmp_path / "out" / "why-these-pixels.png").is_file()
    assert [one.region.kind for one in names["mine"]] == ["click", "click"]
    assert names["none"].claim == "It finds no “dog” at the box (60, 40, 200, 180)"
    assert names["dog"].target == "dog"
    assert [one.target for one in names["both"]] == ["dog", "cat"]
