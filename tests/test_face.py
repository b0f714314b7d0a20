"""The public names are those of one table in the docs, and each has a docstring."""

import inspect
import re
from pathlib import Path

import pytest

import mmcam

PAGE = (Path(__file__).parents[1] / "docs" / "research.md").read_text()
TABLE = PAGE[PAGE.index("## The whole face") :]
NAMES = sorted(
    name for cell in re.findall(r"^\| (`.*?) \|", TABLE, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
)


def test_the_table_names_the_whole_face():
    assert sorted(set(mmcam.__all__) - {"__version__"}) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is(name):
    thing = getattr(mmcam, name)
    if isinstance(thing, dict):
        return
    assert len(inspect.getdoc(thing) or "") > 20
    if inspect.isfunction(thing):
        unannotated = [p.name for p in inspect.signature(thing).parameters.values() if p.annotation is p.empty]
        assert not unannotated


def test_every_line_of_the_page_runs():
    names = {}
    try:
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            exec(compile(block, "research.md", "exec"), names)
    finally:
        mmcam.SCORES.pop("margin", None)
    assert len(names["unsure"]) > 3
