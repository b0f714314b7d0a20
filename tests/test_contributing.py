"""Every Python block of CONTRIBUTING runs, in order, in one namespace; and its experiment writes its table."""

import json
import re
from pathlib import Path

import pytest

from mmcam import METHODS
from mmcam.adapters.transformers import FAMILIES

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"


@pytest.fixture
def names():
    """What the blocks define; what they register is gone afterwards."""
    known = [(table, set(table)) for table in (METHODS, FAMILIES)]
    names = {"__name__": "contributing"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 8
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
        yield names
    finally:
        for table, names_before in known:
            for name in table.keys() - names_before:
                del table[name]


def test_the_examples_run(names, tmp_path):
    assert "SegformerForSemanticSegmentation" in FAMILIES
    assert METHODS["elementwise"].options.keys() >= {"power", "counterfactual"}
    names["main"](3, tmp_path)
    report = json.loads((tmp_path / "peak-distance.json").read_text())
    assert report["pictures"] == 3
    assert [row["method"] for row in report["rows"]] == ["gradcam", "layercam"]
    assert all(row["distance"]["n"] == 3 for row in report["rows"])
    assert "| gradcam |" in (tmp_path / "peak-distance.md").read_text()
